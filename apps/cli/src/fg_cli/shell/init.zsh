# forgather: the short name and completion. To use it, $use
fg() {
    case "$${1-}" in
        ('' | %* | + | -) builtin fg "$$@" ;;
        (*[!0-9]*) command forgather "$$@" ;;
        (*) builtin fg "$$@" ;;
    esac
}

_forgather() {
    local -a verbs
    verbs=(
$described
    )
    local project=. verb='' index word
    for ((index = 2; index < CURRENT; index++)); do
        word=$$words[index]
        case $$words[index-1] in
            (-p | --project-dir) project=$$word ;;
            (-t | --config-template) ;;
            (*) [[ $$word == -* || -n $$verb ]] || verb=$$word ;;
        esac
    done
    case $$words[CURRENT-1] in
        (-t | --config-template) compadd -- $$(command forgather ls --names -p "$$project" 2>/dev/null) ;;
        (-p | --project-dir) _files -/ ;;
        (*) if [[ -z $$verb ]]; then _describe verb verbs; else _files; fi ;;
    esac
}
if (( $$+functions[compdef] )); then
    compdef _forgather forgather fg
fi
