#!/usr/bin/env bash
# A LoopBack 3 application with loopback-component-storage on its filesystem provider: compat/backends/loopback/app.js.
#
#   loopback.sh start DATA_DIR PORT [TOKEN]
#
# Its containers are the directories below LOOPBACK_ROOT. With TOKEN only who brings it is let in.
. "$(dirname "$0")/common.sh"

app=$(cd "$(dirname "$0")/loopback" && pwd)
tool=$BACKENDS_TOOLS/loopback-$(sha256sum "$app/package-lock.json" | cut -c1-12)

install_app() {
  [ -f "$tool/.installed" ] && return 0
  [ -z "${ONLY_LOOK:-}" ] || exit 1
  command -v npm >/dev/null || die "npm is needed (apt-get install npm)"
  say "installing into $(basename "$tool")"
  rm -rf "$tool"; mkdir -p "$tool"
  cp "$app/package.json" "$app/package-lock.json" "$tool"
  (cd "$tool" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  touch "$tool/.installed"
}

do_install() { with_lock loopback install_app; }

do_start() {
  mkdir -p "$DATA/files"
  NODE_ENV=production NODE_PATH=$tool/node_modules launch loopback node "$app/app.js" "$DATA/files" "$PORT" "${1:-}"
  wait_http "http://127.0.0.1:$PORT/api/containers" 90
  emit LOOPBACK_URL "http://127.0.0.1:$PORT/api"
  emit LOOPBACK_ROOT "$DATA/files"
  emit LOOPBACK_TOKEN "${1:-}"
}
main "$@"
