" Writes the highlight group of every character of the current buffer: one line each, groups separated by blanks.
set encoding=utf-8 nocompatible
let s:lines = []
for s:line in range(1, line('$'))
  let s:groups = []
  for s:column in range(1, strlen(getline(s:line)))
    let s:name = synIDattr(synIDtrans(synID(s:line, s:column, 1)), 'name')
    call add(s:groups, s:name =~# '^\(forgatherIn.*\)\=$' ? '-' : s:name)
  endfor
  call add(s:lines, join(s:groups))
endfor
call writefile(s:lines, $GROUPS_FILE)
qall!
