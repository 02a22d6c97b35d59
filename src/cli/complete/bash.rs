//! Bash: its words are put together again, which it splits at colons and equals signs.

use clap_complete::env::EnvCompleter;
use std::ffi::OsString;
use std::io::{Result, Write};
use std::path::Path;

/// Which of the words is completed.
const INDEX: &str = "DISKFERRY_COMPLETE_INDEX";

const SCRIPT: &str = r#"_NAME() {
    local line=$COMP_LINE word words=() last=-1 i
    # Readline splits words at colons and equals signs; no space stood there.
    for (( i = 0; i <= COMP_CWORD; i++ )); do
        word=${COMP_WORDS[i]}
        if (( last < 0 )) || [[ $line == [[:space:]]* ]]; then
            (( ++last ))
            words[last]=$word
        else
            words[last]+=$word
        fi
        line=${line#"${line%%[![:space:]]*}"}
        line=${line#"$word"}
    done
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(VARIABLE=bash INDEX=$last COMPLETER -- "${words[@]}" 2>/dev/null)
    (( ${#COMPREPLY[@]} )) || return
    [[ -e ${COMPREPLY[0]} ]] && compopt -o filenames 2>/dev/null
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=/] ]] && compopt -o nospace 2>/dev/null
    # What stands before the last of them is there already.
    local breaks= head=
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+==
    if [[ -n $breaks && ${words[last]} == *["$breaks"]* ]]; then
        head=${words[last]%"${words[last]##*["$breaks"]}"}
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
}
complete -o bashdefault -o default -F _NAME BIN
"#;

/// Bash, from version 4.
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        bin: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> Result<()> {
        let script = SCRIPT
            .replace("NAME", name)
            .replace("VARIABLE", variable)
            .replace("INDEX", INDEX)
            .replace("COMPLETER", completer)
            .replace("BIN", bin);
        out.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let index = std::env::var(INDEX).ok().and_then(|index| index.parse().ok()).unwrap_or_default();
        for candidate in clap_complete::engine::complete(command, words, index, directory)? {
            let value = candidate.get_value().to_string_lossy();
            if !value.contains('\n') {
                writeln!(out, "{value}")?;
            }
        }
        Ok(())
    }
}
