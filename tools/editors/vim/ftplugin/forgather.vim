setlocal commentstring=##\ %s comments=b:##,b:#
setlocal expandtab shiftwidth=4 softtabstop=4
setlocal suffixesadd=.yaml includeexpr=v:fname
let b:undo_ftplugin = 'setlocal commentstring< comments< expandtab< shiftwidth< softtabstop< suffixesadd< includeexpr<'
