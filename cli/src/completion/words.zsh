
# Names of networks, namespaces and containers as they are now.
(( $+functions[_linkspan_names] )) ||
_linkspan_names() {
    local -a names
    names=(${(f)"$(linkspan completion words 2>/dev/null)"})
    compadd -a names
    _files
}
