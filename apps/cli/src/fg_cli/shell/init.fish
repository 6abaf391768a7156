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

$described
complete -c forgather -s t -l config-template -x -a '(command forgather ls --names 2>/dev/null)' -d config
complete -c forgather -s p -l project-dir -x -a '(__fish_complete_directories)' -d project
complete -c fg -w forgather
