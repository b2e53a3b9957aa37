#!/bin/sh
# The chat's management script: everything its owners do to the running system.
set -eu
app=chat

case "${1:-help}" in
  start | stop | restart | reload | delete) pidone "$1" "$app" ;;
  status) pidone ls "$app" ;;
  logs) pidone logs "$app" -n "${2:-50}" ;;
  monitor) pidone monit ;;
  info) pidone describe "$app" ;;
  scale) pidone scale "$app" "$2" ;;
  redis) curl --fail --silent "http://127.0.0.1:${PORT:-4000}/health" ;;
  save) pidone save "${2:-chat.saved.toml}" ;;
  reset) pidone reset "$app" ;;
  help) echo "usage: $0 start|stop|restart|reload|delete|status|logs [N]|monitor|info|scale N|redis|save [FILE]|reset|help" ;;
  *) "$0" help >&2 && exit 64 ;;
esac
