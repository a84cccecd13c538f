
# Names of networks, namespaces and containers as they are now.
complete -c linkspan -n "__fish_seen_subcommand_from add check del doctor gc inspect list restore status" -f -a "(linkspan completion words 2>/dev/null)"
