
# Names of networks, namespaces and containers as they are now.
_linkspan_and_names() {
    local word verb="" cur="${COMP_WORDS[COMP_CWORD]}"
    _linkspan "$@"
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            add|check|del|doctor|gc|inspect|list|restore|status) verb="$word"; break ;;
        esac
    done
    case "$verb:$cur" in
        :*|*:-*) return 0 ;;
    esac
    COMPREPLY+=( $(compgen -W "$(linkspan completion words 2>/dev/null)" -- "${cur}") )
}

complete -F _linkspan_and_names -o bashdefault -o default linkspan
