# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Completion of ragchat(1) for bash.

_ragchat() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $before in
        --password-file | --ca)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            ;;
        -n | --name | -t | --to | --history | --timeout | --known-as) ;;
        *)
            if [[ $word == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "-n --name -t --to -l --listen -1 --once --history --timeout
                    --password-file --ca --known-as --insecure --version -h --help" -- "$word")
            fi
            ;;
    esac
}
complete -F _ragchat ragchat
