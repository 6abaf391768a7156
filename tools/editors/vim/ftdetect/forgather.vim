" Templates and meta.yaml below a workspace are Forgather; other YAML stays YAML.
function! s:Detect() abort
  if !empty(finddir('forgather_workspace', escape(expand('<afile>:p:h'), ' ,;') . ';'))
    set filetype=forgather
  endif
endfunction
autocmd BufRead,BufNewFile */templates/*.yaml,*/forgather_workspace/*.yaml,*/meta.yaml call s:Detect()
