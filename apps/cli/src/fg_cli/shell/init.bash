# forgather: the short name and completion. To use it, $use
fg() {
    case "$${1-}" in
        '' | %* | + | -) builtin fg "$$@" ;;
        *[!0-9]*) command forgather "$$@" ;;
        *) builtin fg "$$@" ;;
    esac
}

# The command says what fits: first which kind of paths, then a candidate per line with its help behind a tab.
_forgather() {
    local -a lines
    local current=$${COMP_WORDS[COMP_CWORD]} line
    [[ $$current != '=' ]] || current=''
    mapfile -t lines < <(command forgather --complete "$${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    for line in "$${lines[@]:1}"; do
        COMPREPLY+=("$${line%%$$'\t'*}")
    done
    case $${lines[0]-} in
        files) compopt -o default 2>/dev/null; mapfile -t -O "$${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$$current") ;;
        directories) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$$current") ;;
    esac
}
complete -F _forgather forgather fg
