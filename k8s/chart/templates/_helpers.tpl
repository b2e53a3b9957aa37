{{- define "pidone.labels" -}}
app.kubernetes.io/part-of: {{ .Values.partOf }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pidone.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What every pod of it has. */}}
{{- define "pidone.pod" -}}
serviceAccountName: {{ .Values.serviceAccount.name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.user }}
  runAsGroup: {{ .Values.user }}
  fsGroup: {{ .Values.user }}
  fsGroupChangePolicy: OnRootMismatch # not file by file at each start
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "pidone.container" -}}
name: pidone
image: {{ include "pidone.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
envFrom:
  - configMapRef: { name: settings }
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* `grace` is how long SIGTERM to SIGKILL may take: terminationGracePeriodSeconds less preStop. */}}
{{- define "pidone.env" -}}
{{- with .root.Values.databaseSecret }}
- { name: CHAT_DATABASE_PASSWORD_FILE, value: /run/secrets/database/password }
{{- end }}
- { name: PIDONE_TERMINATION_GRACE, value: {{ .grace }}s }
{{- if .downward }}
- { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
- { name: POD_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
- { name: NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
{{- end }}
{{- end }}

{{- define "pidone.probes" -}}
startupProbe:
  httpGet: { path: /startupz, port: admin }
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 90
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: {{ .readyPeriod }}
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resizePolicy: # both are followed while it runs: no restart
  - { resourceName: cpu, restartPolicy: NotRequired }
  - { resourceName: memory, restartPolicy: NotRequired }
{{- end }}

{{- define "pidone.mounts" -}}
{{- if .ecosystems }}
- { name: ecosystems, mountPath: /etc/pidone, readOnly: true }
{{- end }}
{{- with .root.Values.databaseSecret }}
- { name: database, mountPath: /run/secrets/database, readOnly: true }
{{- end }}
- { name: tmp, mountPath: /tmp }
{{- end }}

{{- define "pidone.volumes" -}}
{{- if .ecosystems }}
- name: ecosystems
  configMap: { name: ecosystems }
{{- end }}
{{- with .root.Values.databaseSecret }}
- name: database
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
- name: tmp
  emptyDir: { sizeLimit: {{ .root.Values.tmpSize }} }
{{- end }}
