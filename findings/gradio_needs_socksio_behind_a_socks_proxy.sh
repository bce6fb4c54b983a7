#!/usr/bin/env bash
# One would guess: a program that serves a page on this machine can be imported whatever proxy the environment names.
# What happens: where ALL_PROXY names a SOCKS proxy, as institutes' shells often do, `import gradio` itself fails with
#   an ImportError about a package that Gradio does not require, for it makes an HTTP client while it is imported.
#   NO_PROXY=localhost does not help; NO_PROXY=* does.
# Seen with: gradio 6.31.0 and httpx 0.28.1, Python 3.11, Linux. Source: the run below.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gradio==6.31.0 httpx==0.28.1 2>/dev/null || exit 1
try() {
  env -u http_proxy -u https_proxy -u all_proxy -u HTTP_PROXY -u HTTPS_PROXY -u no_proxy -u ALL_PROXY -u NO_PROXY \
    GRADIO_ANALYTICS_ENABLED=False "$@" "$folder/venv/bin/python" -c 'import gradio; print("imported")' 2>&1 | tail -n 1
}
plain=$(try A=1)
socks=$(try ALL_PROXY=socks5://127.0.0.1:9)
local=$(try ALL_PROXY=socks5://127.0.0.1:9 NO_PROXY=localhost)
all=$(try ALL_PROXY=socks5://127.0.0.1:9 'NO_PROXY=*')
printf 'no proxy: %s\nSOCKS proxy: %s\nand NO_PROXY=localhost: %s\nand NO_PROXY=*: %s\n' "$plain" "$socks" "$local" "$all"
[ "$plain" = imported ] && [ "$all" = imported ] && [[ "$socks" == ImportError*socksio* ]] && [[ "$local" == ImportError*socksio* ]]
