//! The page: a table of targets, and a section for each thing that was measured. A run writes its
//! own section anew and leaves the others as they are.

use std::fmt::Write;

/// A target, beside what was measured.
#[derive(Debug, Clone)]
pub struct Target {
    /// `P1` and so on.
    pub id: &'static str,
    pub what: &'static str,
    pub aim: &'static str,
    pub figure: String,
    /// `None` where a figure is only to be stated.
    pub met: Option<bool>,
    /// The best of the others in the same run, and how it compares.
    pub other: String,
}

/// A section of the page.
pub struct Section {
    /// By which a later run finds it: the mode, and the workload.
    pub key: String,
    pub title: String,
    pub targets: Vec<Target>,
    pub body: String,
}

const HEAD: &str = "# The meter beside others

Written by `just bench-meter` and `just bench-meter-report`; do not edit.
What runs, and how to read it, is said in [benches/compare](../benches/compare/README.md).
";
const BEGIN: &str = "<!-- section ";
const END: &str = "<!-- end of section -->";
const TARGET: &str = "<!-- target | ";

/// The page with a section put in, in place of the one of that key where there is one.
pub fn with_section(page: &str, section: &Section) -> String {
    let mut sections = sections(page);
    sections.retain(|(key, _)| *key != section.key);
    sections.push((section.key.clone(), text(section)));
    sections.sort_by_key(|(key, _)| place(key));
    let mut page = HEAD.to_owned();
    let mut targets: Vec<&str> = sections
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.strip_prefix(TARGET)?.strip_suffix(" -->"))
        .collect();
    targets.sort_by_key(|row| row.split(' ').next().map(str::to_owned));
    if !targets.is_empty() {
        page.push_str(
            "\n## Targets\n\nEach with the figure of the section that it is from.\n\n\
             | | what | target | measured | | others in the same run | section |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for row in targets {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "| {row} |");
        }
    }
    for (_, text) in sections {
        page.push('\n');
        page.push_str(&text);
    }
    page
}

/// Batches first, variants and traces of a mode behind it.
fn place(key: &str) -> (usize, String) {
    let modes = ["batch", "online", "singles", "growth", "recovery"];
    let mode = key.split(' ').next().unwrap_or_default();
    (modes.iter().position(|name| *name == mode).unwrap_or(modes.len()), key.to_owned())
}

/// Keys and texts of the sections of a page.
fn sections(page: &str) -> Vec<(String, String)> {
    let parts = page.split(BEGIN).skip(1);
    let section = |part: &str| {
        let key = part.split(" -->").next()?.to_owned();
        let text = part.split(END).next()?;
        Some((key, format!("{BEGIN}{text}{END}\n")))
    };
    parts.filter_map(section).collect()
}

fn text(section: &Section) -> String {
    let Section { key, title, targets, body } = section;
    let mut text = format!("{BEGIN}{key} -->\n");
    for target in targets {
        let met = match target.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "stated",
        };
        let Target { id, what, aim, figure, other, .. } = target;
        let _ = writeln!(
            text,
            "{TARGET}{id} | {what} | {aim} | {figure} | {met} | {other} | {title} -->"
        );
    }
    let _ = write!(text, "\n## {title}\n\n{}\n\n{END}\n", body.trim());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(key: &str, id: &'static str, figure: &str) -> Section {
        let target = Target {
            id,
            what: "what",
            aim: "≥ 1",
            figure: figure.to_owned(),
            met: Some(figure == "2"),
            other: String::new(),
        };
        let (title, body) = (format!("Title of {key}"), format!("Body with {figure}."));
        Section { key: key.to_owned(), title, targets: vec![target], body }
    }

    #[test]
    fn a_run_replaces_its_own_section_and_no_other() {
        let page = with_section("of an older form", &section("online W1", "P4", "1"));
        let page = with_section(&page, &section("batch W1", "P1", "2"));
        let page = with_section(&page, &section("batch W1-hot", "P1", "3"));
        assert!(!page.contains("older form"));
        let again = with_section(&page, &section("online W1", "P4", "2"));
        for (page, figure, met) in [(&page, "1", "**missed**"), (&again, "2", "met")] {
            let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| P")).collect();
            let online = format!("| P4 | what | ≥ 1 | {figure} | {met} |  | Title of online W1 |");
            assert_eq!(rows.len(), 3, "{page}");
            assert_eq!(rows[2], online);
            assert_eq!(page.matches("## Title of").count(), 3, "{page}");
            assert!(page.contains(&format!("Body with {figure}.")));
            let place = |title: &str| page.find(&format!("## Title of {title}")).unwrap();
            assert!(place("batch W1\n") < place("batch W1-hot\n"));
            assert!(place("batch W1-hot\n") < place("online W1\n"));
        }
        assert_eq!(with_section(&again, &section("online W1", "P4", "2")), again);
    }
}
