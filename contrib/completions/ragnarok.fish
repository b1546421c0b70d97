# SPDX-License-Identifier: MIT
#
# Completion of ragnarok(1) for fish.

complete -c ragnarok -k -x -a '(__fish_complete_suffix .json)'
complete -c ragnarok -s c -l config -r -k -a '(__fish_complete_suffix .json)' -d 'Read the settings from a file'
complete -c ragnarok -l init -d 'Write settings, and a text that explains every key'
complete -c ragnarok -l lan -d 'Open the room to the LAN'
complete -c ragnarok -l check-config -d 'Name all that is wrong with the settings'
complete -c ragnarok -l export -r -F -d 'Write the history file as lines of JSON'
complete -c ragnarok -l web-root -x -a '(__fish_complete_directories)' -d 'Serve the files of the page from a folder'
complete -c ragnarok -l allow-root -d 'Run as root'
complete -c ragnarok -l allow-sample-password -d 'Let the internet in with the sample password'
complete -c ragnarok -l allow-core -d 'Allow core dumps and debuggers'
complete -c ragnarok -l no-sandbox -d 'Do without seccomp and Landlock'
complete -c ragnarok -l version -d 'Print the version'
complete -c ragnarok -s h -l help -d 'Print a summary'
