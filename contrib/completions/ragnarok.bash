# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Completion of ragnarok(1) for bash.

_ragnarok() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    case $before in
        --web-root)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return
            ;;
        --export)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        -c | --config) ;;
        *)
            if [[ $word == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "-c --config --init --lan --check-config --export --web-root
                    --allow-root --allow-sample-password --allow-core --no-sandbox --version -h --help" -- "$word")
                return
            fi
            ;;
    esac
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -X '!*.json' -- "$word"; compgen -d -- "$word")
}
complete -F _ragnarok ragnarok
