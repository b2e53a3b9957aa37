function __pidone
    set -l words (commandline -opc) (commandline -ct)
    set -l found (pidone complete -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path $words[-1]
    end
end
complete -c pidone -f -a '(__pidone)'
