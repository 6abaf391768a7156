# forgather: the short name and completion. To use it, $use
if functions -q fg; and not functions -q __forgather_job_fg
    functions --copy fg __forgather_job_fg
end
function fg --description 'job control, or forgather VERB'
    if test (count $$argv) -gt 0; and not string match -qr '^(%.*|[0-9]+|[+-])$$' -- $$argv[1]
        command forgather $$argv
    else if functions -q __forgather_job_fg
        __forgather_job_fg $$argv
    else
        builtin fg $$argv
    end
end

# The command says what fits: first which kind of paths, then a candidate per line with its help behind a tab.
function __forgather_complete
    set -l words (commandline -opc)
    set -l lines (command forgather --complete $$words[2..-1] (commandline -ct) 2>/dev/null)
    switch "$$lines[1]"
        case files
            __fish_complete_path (commandline -ct)
        case directories
            __fish_complete_directories (commandline -ct) ''
    end
    printf '%s\n' $$lines[2..-1]
end
complete -c forgather -f -a '(__forgather_complete)'
complete -c fg -w forgather
