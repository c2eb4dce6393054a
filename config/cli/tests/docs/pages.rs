//! Pages of Markdown: their fenced blocks, tables, headings and code spans.

use std::path::{Path, PathBuf};

/// A page and its place.
pub(crate) struct Page {
    /// The path from the root of the repository.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// The number of the line that opens the block, from 1.
    pub(crate) line: usize,
    /// The info string, which names the kind of the block.
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// A table, cell by cell.
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the text of a file of the repository.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the page called `name`.
pub(crate) fn page(name: &str) -> Page {
    Page { name: name.to_owned(), text: read(name) }
}

/// The folder of the pages on findings.
pub(crate) const FINDINGS: &str = "docs/findings";

/// Returns the names of the pages in a folder, in order.
fn pages_in(folder: &str) -> Vec<String> {
    let listed = std::fs::read_dir(root().join(folder)).expect("a folder");
    let mut names: Vec<String> = listed
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Returns all pages: the three at the root, every one in docs/, and those on findings.
pub(crate) fn pages() -> Vec<Page> {
    let names = [pages_in("docs"), pages_in(FINDINGS)].concat();
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
        .into_iter()
        .map(page)
        .chain(names.iter().map(|name| page(name)))
        .collect()
}

impl Page {
    /// Returns the fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.parted().0
    }

    /// Returns the text without its fenced blocks.
    pub(crate) fn prose(&self) -> String {
        self.parted().1
    }

    fn parted(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose): (Vec<Block>, _) = (Vec::new(), String::new());
        let mut is_open = false;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), is_open) {
                (Some(kind), false) => {
                    blocks.push(Block { line: number + 1, kind: kind.to_owned(), text: String::new() });
                    is_open = true;
                }
                (Some(_), true) => is_open = false,
                (None, true) => blocks.last_mut().expect("the open block").text.extend([line, "\n"]),
                (None, false) => prose.extend([line, "\n"]),
            }
        }
        assert!(!is_open, "{}: the last block is not closed", self.name);
        (blocks, prose)
    }

    /// Returns the code spans of the prose, of which one may go over the end of a line.
    pub(crate) fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        let mut found = Vec::new();
        for paragraph in prose.split("\n\n") {
            let is_even = paragraph.matches('`').count().is_multiple_of(2);
            assert!(is_even, "{}: a code span is not closed in\n{paragraph}", self.name);
            found.extend(spans(paragraph).map(|span| span.replace('\n', " ")));
        }
        found
    }

    /// Returns the anchors of the headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter_map(|line| {
            line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
        });
        headings.map(anchor).collect()
    }

    /// Returns the tables, in order.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let prose = self.prose();
        let lines: Vec<&str> = prose.lines().collect();
        let tables = lines.split(|line| !line.starts_with('|')).filter(|lines| !lines.is_empty());
        let table = |lines: &[&str]| {
            let mut cells = lines.iter().map(|line| cells(line));
            let head = cells.next().expect("a head");
            let rows: Vec<_> = cells.skip(1).collect();
            for row in &rows {
                assert_eq!(row.len(), head.len(), "{}: {row:?}", self.name);
            }
            Table { head, rows }
        };
        tables.map(table).collect()
    }

    /// Returns the rows of the table whose first column is called `first`.
    pub(crate) fn rows_under(&self, first: &str) -> Vec<Vec<String>> {
        let rows: Vec<_> = self
            .tables()
            .into_iter()
            .filter(|table| table.head[0] == first)
            .flat_map(|table| table.rows)
            .collect();
        assert!(!rows.is_empty(), "{}: no table of `{first}`", self.name);
        rows
    }
}

/// Returns the code spans of a line.
pub(crate) fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn cells(line: &str) -> Vec<String> {
    let inner =
        line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).expect("a row between two bars");
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
