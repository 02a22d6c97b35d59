//! The pages and what is in them.

use std::path::{Path, PathBuf};

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page of the documentation.
pub struct Page {
    /// Its path below the root, as it is shown.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A fenced block of shell commands.
pub struct Block {
    /// The line of its first command, counted from 1.
    pub line: usize,
    /// The number of its section. Sections do not see what other sections have done.
    pub section: usize,
    /// What becomes of it.
    pub mark: Mark,
    /// The commands.
    pub script: String,
}

/// What becomes of a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    /// It runs and has to end with this status.
    Run(i32),
    /// It runs where this program is installed.
    Needs(String),
    /// It runs with a configuration file that does not exist yet.
    NewConfig,
    /// It needs something that is not here.
    NoRun(String),
}

/// README.md and docs/*.md.
pub fn pages() -> Vec<Page> {
    let mut paths: Vec<_> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.push(root().join("README.md"));
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

impl Page {
    /// Reads a page.
    pub fn read(path: PathBuf) -> Self {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        Self { name, path, text }
    }

    /// The shell blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut section = 0;
        let mut lines = self.text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            section += usize::from(line.starts_with("## "));
            let Some(info) = line.trim_start().strip_prefix("```") else { continue };
            let indent = line.len() - line.trim_start().len();
            let body: Vec<_> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect();
            let mut words = info.split_whitespace();
            if words.next() != Some("sh") {
                continue;
            }
            let rest = words.collect::<Vec<_>>().join(" ");
            let mark = mark(&rest).unwrap_or_else(|why| panic!("{}:{}: {why}", self.name, at + 1));
            blocks.push(Block { line: at + 2, section, mark, script: body.join("\n") });
        }
        blocks
    }

    /// The blocks by the world that they run in: a section each; but of a page that starts an emulator all of them, as later
    /// sections go on with it.
    pub fn sessions(&self) -> Vec<Vec<Block>> {
        let blocks = self.blocks();
        let one = blocks.iter().any(|block| block.script.contains("diskferry serve"));
        let mut sessions: Vec<Vec<Block>> = Vec::new();
        for block in blocks {
            match sessions.last_mut() {
                Some(session) if one || session.last().is_some_and(|last| last.section == block.section) => {
                    session.push(block);
                }
                _ => sessions.push(vec![block]),
            }
        }
        sessions
    }

    /// The lines outside of fenced blocks, with their numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut fenced = false;
        let mut prose = Vec::new();
        for (at, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                prose.push((at + 1, line));
            }
        }
        prose
    }

    /// What stands between backticks outside of fenced blocks, with the number of the line.
    pub fn code_spans(&self) -> Vec<(usize, &str)> {
        self.prose()
            .into_iter()
            .flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(move |code| (line, code)))
            .collect()
    }
}

fn mark(rest: &str) -> Result<Mark, String> {
    if rest.is_empty() {
        return Ok(Mark::Run(0));
    }
    if rest == "new-config" {
        return Ok(Mark::NewConfig);
    }
    if let Some(program) = rest.strip_prefix("needs=") {
        return Ok(Mark::Needs(program.to_owned()));
    }
    if let Some(status) = rest.strip_prefix("exit=") {
        return status.parse().map(Mark::Run).map_err(|_| format!("`{status}` is not an exit status"));
    }
    match rest.strip_prefix("no-run") {
        Some(reason) if !reason.trim().is_empty() => Ok(Mark::NoRun(reason.trim().to_owned())),
        Some(_) => Err("`no-run` needs a reason".to_owned()),
        None => Err(format!(
            "unknown mark `{rest}`: expected `exit=N`, `needs=PROGRAM`, `new-config` or `no-run REASON`"
        )),
    }
}

#[test]
fn blocks_are_found_with_their_marks() {
    let text = "a
```sh
one
```
## b
  ```sh exit=6
  two
  ```
```ini
x
```
```sh no-run needs a cat
three
```
\
                `code`
```sh needs=jq
four
```
";
    let page = Page { name: "t.md".into(), path: PathBuf::new(), text: text.into() };
    let blocks = page.blocks();
    let seen: Vec<_> = blocks.iter().map(|b| (b.line, b.section, &b.mark, b.script.as_str())).collect();
    let (reason, jq) = (Mark::NoRun("needs a cat".into()), Mark::Needs("jq".into()));
    let (six, zero) = (Mark::Run(6), Mark::Run(0));
    assert_eq!(
        seen,
        [(3, 0, &zero, "one"), (7, 1, &six, "two"), (13, 1, &reason, "three"), (17, 1, &jq, "four")]
    );
    assert_eq!(page.code_spans(), [(15, "code")]);
    assert!(mark("no-run").is_err() && mark("norun x").is_err() && mark("exit=six").is_err());
}
