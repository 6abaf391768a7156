# forgather: the short name and completion. To use it, $use
fg() {
    case "$${1-}" in
        ('' | %* | + | -) builtin fg "$$@" ;;
        (*[!0-9]*) command forgather "$$@" ;;
        (*) builtin fg "$$@" ;;
    esac
}

# The command says what fits: first which kind of paths, then a candidate per line with its help behind a tab.
_forgather() {
    local -a lines described
    local line
    lines=("$${(@f)$$(command forgather --complete "$${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for line in $$lines[2,-1]; do
        described+=("$${$${line%%$$'\t'*}//:/\\:}:$${line#*$$'\t'}")
    done
    (( $$#described )) && _describe -V candidate described
    case $$lines[1] in
        (files) _files ;;
        (directories) _files -/ ;;
    esac
}
if (( $$+functions[compdef] )); then
    compdef _forgather forgather fg
fi
