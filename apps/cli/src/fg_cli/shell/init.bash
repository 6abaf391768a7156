# forgather: the short name and completion. To use it, $use
fg() {
    case "$${1-}" in
        '' | %* | + | -) builtin fg "$$@" ;;
        *[!0-9]*) command forgather "$$@" ;;
        *) builtin fg "$$@" ;;
    esac
}

_forgather() {
    local current=$${COMP_WORDS[COMP_CWORD]} previous=$${COMP_WORDS[COMP_CWORD - 1]}
    local project=. verb='' words='' word index
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=$${COMP_WORDS[index]}
        case "$${COMP_WORDS[index - 1]}" in
            -p | --project-dir) project=$$word ;;
            -t | --config-template) ;;
            *) [[ $$word == -* || -n $$verb ]] || verb=$$word ;;
        esac
    done
    case "$$previous" in
        -t | --config-template) words=$$(command forgather ls --names -p "$$project" 2>/dev/null) ;;
        -p | --project-dir) ;;
        *) [[ -n $$verb ]] || words='$verbs' ;;
    esac
    COMPREPLY=($$(compgen -W "$$words" -- "$$current"))
}
complete -o default -F _forgather forgather fg
