# What a user's Dockerfile does: any image, and one line.
ARG BUNDLE
ARG IMAGE
FROM ${BUNDLE} AS bundle
FROM ${IMAGE}
COPY --from=bundle /opt/pidone /opt/pidone
ENTRYPOINT ["/opt/pidone/bin/pm2-runtime"]
