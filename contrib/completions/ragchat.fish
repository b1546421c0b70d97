# SPDX-License-Identifier: MIT
#
# Completion of ragchat(1) for fish.

complete -c ragchat -f
complete -c ragchat -s n -l name -x -d 'Who you are in the room'
complete -c ragchat -s t -l to -x -d 'Send the lines of a pipe to one member'
complete -c ragchat -s l -l listen -d 'Print each message as a line of JSON'
complete -c ragchat -s 1 -l once -d 'The same, and end after the first message'
complete -c ragchat -l history -x -d 'Print so many older messages as lines of JSON, and end'
complete -c ragchat -l timeout -x -d 'End after so many seconds'
complete -c ragchat -l password-file -r -F -d 'The file whose first line is the password'
complete -c ragchat -l ca -r -F -d 'Trust the certificates in a file, and no others'
complete -c ragchat -l known-as -x -d 'The address under which the server was met'
complete -c ragchat -l insecure -d 'Do not check the certificate of the server'
complete -c ragchat -l version -d 'Print the version'
complete -c ragchat -s h -l help -d 'Print a summary'
