//! A small workspace in which each rule is broken on purpose, and found.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::check;
use crate::workspace::Workspace;

/// A clean workspace of three crates, two jobs and a README.
struct Tree(TempDir);

impl Tree {
    fn clean() -> Self {
        let tree = Self(TempDir::new().unwrap());
        tree.write("src/workspace/Cargo.lock", "");
        tree.write("src/workspace/Cargo.toml", WORKSPACE);
        symlink("src/workspace/Cargo.lock", tree.path("Cargo.lock")).unwrap();
        symlink("src/workspace/Cargo.toml", tree.path("Cargo.toml")).unwrap();
        for (folder, name) in [("core", "remount-core"), ("store", "remount-store"), ("flow", "remount-flow")]
        {
            tree.write(&format!("src/{folder}/Cargo.toml"), &manifest(name, ""));
            tree.write(&format!("src/{folder}/src/lib.rs"), "//! A crate.\n");
        }
        tree.write("src/ARCHITECTURE.md", MAP);
        tree.write(
            "README.md",
            "# Remount\n\n## Dependencies\n\n| crate | for |\n|---|---|\n| `serde` | JSON |\n",
        );
        tree.write(
            "jobs/postgres/spec",
            "---\nname: postgres\nproperties:\n  port:\n    description: The port.\n",
        );
        tree.write("errands/restore/spec", "---\nname: restore\nproperties: {}\n");
        tree.write("errands/restore/README.md", "# restore\n");
        symlink("../errands/restore", tree.path("jobs/restore")).unwrap();
        tree
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The problems as they are printed.
    fn problems(&self) -> Vec<String> {
        let workspace = Workspace::at(self.0.path()).unwrap();
        let shown = |p: super::Problem| format!("{}:{}: {}: {}", p.path.display(), p.line, p.rule, p.text);
        check(&workspace).unwrap().into_iter().map(shown).collect()
    }

    /// Checks that there is exactly one problem, and that it begins so.
    fn has(&self, expected: &str) {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with(expected), "{problems:#?} does not begin with {expected}");
    }
}

const MAP: &str = "# Map

## 1. The crates

| crate | for | never | first |
|---|---|---|---|
| `src/core` | rules | a clock | `src/core/src/lib.rs` |
| `src/flow` | steps | a socket | `src/flow/src/lib.rs` |
| `src/store` | objects | policy | `src/store/src/lib.rs` |
";

const WORKSPACE: &str = r#"[workspace]
resolver = "3"
members = ["src/core", "src/flow", "src/store"]

[workspace.dependencies]
remount-core = { path = "src/core" }
serde = { version = "1", features = [
    "derive",
] }

[workspace.lints.rust]
missing_docs = "warn"
unsafe_code = "deny"

[workspace.lints.clippy]
unwrap_used = "warn"
"#;

fn manifest(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[lints]\nworkspace = true\n\n{rest}\n")
}

fn lines(count: usize) -> String {
    "    let _unused = 1;\n".repeat(count)
}

#[test]
fn a_clean_tree_has_no_problems() {
    assert_eq!(Tree::clean().problems(), [""; 0]);
}

#[test]
fn an_arrow_that_points_up_is_found() {
    let tree = Tree::clean();
    let dependencies = "[dependencies]\nserde = \"1\"\nremount-flow = { path = \"../flow\" }";
    tree.write("src/store/Cargo.toml", &manifest("remount-store", dependencies));
    tree.has(
        "src/store/Cargo.toml:10: layer: the arrow from remount-store to remount-flow does not point down",
    );
}

#[test]
fn an_adapter_that_imports_an_adapter_is_found() {
    let tree = Tree::clean();
    tree.write(
        "src/flow/Cargo.toml",
        &manifest("remount-cloud", "[dependencies]\nremount-store = { path = \"../store\" }"),
    );
    tree.has("src/flow/Cargo.toml:9: layer: the arrow from remount-cloud to remount-store");
}

#[test]
fn a_program_that_is_imported_is_found() {
    let tree = Tree::clean();
    tree.write("src/core/Cargo.toml", &manifest("remount-wal", ""));
    tree.write(
        "src/flow/Cargo.toml",
        &manifest("remount-flow", "[dependencies]\nremount-wal = { path = \"../core\" }"),
    );
    tree.write(
        "src/workspace/Cargo.toml",
        &WORKSPACE.replace("remount-core = { path = \"src/core\" }\n", ""),
    );
    tree.has("src/flow/Cargo.toml:9: layer: remount-wal is a program");
}

#[test]
fn a_library_that_the_core_may_not_link_is_found() {
    let tree = Tree::clean();
    tree.write(
        "src/core/Cargo.toml",
        &manifest("remount-core", "[dependencies]\ntokio = \"1\"\n[dev-dependencies]\nrand = \"1\""),
    );
    tree.has(
        "src/core/Cargo.toml:9: layer: the core links jiff, serde, serde_json, thiserror only, not tokio",
    );
}

#[test]
fn a_flow_that_could_open_a_socket_is_found() {
    let tree = Tree::clean();
    tree.write("src/flow/Cargo.toml", &manifest("remount-flow", "[dependencies]\nureq = \"3\""));
    tree.has("src/flow/Cargo.toml:9: layer: a flow opens no socket: ureq");
}

#[test]
fn the_clouds_on_the_databases_vm_are_found() {
    let tree = Tree::clean();
    tree.write("src/store/Cargo.toml", &manifest("remount-cloud", ""));
    tree.write(
        "src/flow/Cargo.toml",
        &manifest("remount-wal", "[dependencies]\nremount-cloud = { path = \"../store\" }"),
    );
    tree.has("src/flow/Cargo.toml:9: layer: remount-wal runs on the database's VM, where remount-cloud has no business");
}

#[test]
fn the_lab_is_a_dev_dependency_only() {
    let tree = Tree::clean();
    tree.write("src/store/Cargo.toml", &manifest("remount-lab", ""));
    tree.write(
        "src/flow/Cargo.toml",
        &manifest("remount-flow", "[dev-dependencies]\nremount-lab = { path = \"../store\" }"),
    );
    assert_eq!(tree.problems(), [""; 0]);
    tree.write(
        "src/flow/Cargo.toml",
        &manifest("remount-flow", "[dependencies]\nremount-lab = { path = \"../store\" }"),
    );
    tree.has("src/flow/Cargo.toml:9: layer: remount-lab may be a dev-dependency only");
}

/// A workspace whose crate `store` is `name` instead, and whose crate `flow` is `from` with that dependency.
fn with_arrow(from: &str, kind: &str, name: &str) -> Tree {
    let tree = Tree::clean();
    tree.write("src/store/Cargo.toml", &manifest(name, ""));
    let dependency = format!("[{kind}]\n{name} = {{ path = \"../store\" }}");
    tree.write("src/flow/Cargo.toml", &manifest(from, &dependency));
    tree
}

#[test]
fn the_saga_engine_links_the_core_alone() {
    with_arrow("remount-saga", "dependencies", "remount-store")
        .has("src/flow/Cargo.toml:9: layer: remount-saga is tied to no kind of run");
    assert_eq!(with_arrow("remount-flow", "dependencies", "remount-saga").problems(), [""; 0]);
}

#[test]
fn the_base_lies_under_the_adapters() {
    with_arrow("remount-host", "dependencies", "remount-store").has(
        "src/flow/Cargo.toml:9: layer: the arrow from remount-host to remount-store does not point down",
    );
    assert_eq!(with_arrow("remount-cloud", "dependencies", "remount-host").problems(), [""; 0]);
}

#[test]
fn the_simulation_and_the_fault_proxy_are_for_tests() {
    for name in ["remount-sim", "remount-faultproxy"] {
        assert_eq!(with_arrow("remount-flow", "dev-dependencies", name).problems(), [""; 0]);
        assert_eq!(with_arrow("remount-lab", "dependencies", name).problems(), [""; 0]);
        let told = format!("src/flow/Cargo.toml:9: layer: {name} may be a dev-dependency only");
        with_arrow("remount-flow", "dependencies", name).has(&told);
    }
    with_arrow("remount-faultproxy", "dependencies", "remount-postgres")
        .has("src/flow/Cargo.toml:9: layer: remount-faultproxy links nothing of ours");
    with_arrow("remount-sim", "dependencies", "remount-flow")
        .has("src/flow/Cargo.toml:9: layer: remount-sim lies below remount-flow");
}

#[test]
fn a_crate_without_a_layer_is_found() {
    let tree = Tree::clean();
    tree.write("src/store/Cargo.toml", &manifest("remount-common", ""));
    tree.has("src/store/Cargo.toml:1: layer: remount-common has no layer");
}

#[test]
fn a_test_that_never_runs_is_found() {
    let tree = Tree::clean();
    let module = "//! A crate.\n\n#[cfg(test)]\nmod tests {}\n";
    tree.write("src/store/src/lib.rs", module);
    assert_eq!(tree.problems(), [""; 0]);
    tree.write("src/store/Cargo.toml", &manifest("remount-store", "[lib]\ntest = false\n"));
    tree.has("src/store/src/lib.rs:3: lints: this crate's `[lib]` has `test = false`");
}

#[test]
fn a_crate_without_the_lints_is_found() {
    let tree = Tree::clean();
    tree.write("src/store/Cargo.toml", "[package]\nname = \"remount-store\"\nedition = \"2024\"\n");
    tree.has("src/store/Cargo.toml:1: lints: does not inherit");
    let tree = Tree::clean();
    tree.write("src/workspace/Cargo.toml", &WORKSPACE.replace("missing_docs = \"warn\"\n", ""));
    tree.has("Cargo.toml:1: lints: the workspace does not set `missing_docs`");
}

#[test]
fn a_long_file_is_found_and_its_tests_are_not_counted() {
    let tree = Tree::clean();
    let tests = format!("#[cfg(test)]\nmod tests {{\nfn long() {{\n{}}}\n}}\n", lines(500));
    tree.write("src/core/src/lib.rs", &format!("{}{tests}", "// A line.\n".repeat(600)));
    assert_eq!(tree.problems(), [""; 0]);
    tree.write("src/core/src/lib.rs", &format!("{}{tests}", "// A line.\n".repeat(601)));
    tree.has("src/core/src/lib.rs:1: wall: 601 lines without tests");
}

#[test]
fn a_long_function_is_found() {
    let tree = Tree::clean();
    let function =
        |count| format!("//! A crate.\nconst fn long(a: &str) -> u8 {{\n    // Why.\n\n{}}}\n", lines(count));
    tree.write("src/core/src/lib.rs", &function(70));
    assert_eq!(tree.problems(), [""; 0]);
    tree.write("src/core/src/lib.rs", &function(71));
    tree.has("src/core/src/lib.rs:2: wall: `long` has 71 lines");
}

#[test]
fn unwrap_is_found_outside_tests_alone() {
    let tree = Tree::clean();
    let source = "//! A crate: `.unwrap()`.\n#[cfg(test)]\nmod proofs;\nfn a() {\n    println!(\".unwrap()\", b()\n        .unwrap());\n}\n\
                  #[cfg(test)]\nmod tests {\n    fn c() { d().unwrap() }\n}\n";
    tree.write("src/core/src/lib.rs", source);
    tree.write("src/core/src/proofs.rs", "fn e() { f().unwrap() }\n");
    for suite in ["src/core/tests/all.rs", "src/core/src/contract.rs", "src/core/src/contract/objects.rs"] {
        tree.write(suite, "fn e() { f().unwrap() }\n");
    }
    tree.has("src/core/src/lib.rs:6: smell: `.unwrap()`");
}

#[test]
fn an_error_that_is_logged_without_its_causes_is_found() {
    let tree = Tree::clean();
    tree.write("src/core/src/lib.rs", "//! A crate.\nfn a() { log::warn!(error:% = error; \"failed\") }\n");
    tree.has("src/core/src/lib.rs:2: smell: `error:% = error`");
}

#[test]
fn what_is_half_done_is_found_in_tests_too() {
    for (planted, expected) in [
        ("fn a() { todo!() }", "`todo!`"),
        ("fn a() { dbg!(1); }", "`dbg!`"),
        ("#[test]\n#[ignore = \"slow\"]\nfn a() {}", "`#[ignore`"),
        ("#[test]\n#[should_panic]\nfn a() {}", "`#[should_panic`"),
        ("// TODO: later", "`TODO` without the number of an issue"),
        ("/* FIXME (soon) */", "`FIXME` without the number of an issue"),
    ] {
        let tree = Tree::clean();
        tree.write("src/core/tests/all.rs", &format!("\n\n{planted}\n"));
        let problems = tree.problems();
        assert!(problems.len() == 1 && problems[0].contains(expected), "{planted}: {problems:#?}");
    }
}

#[test]
fn a_note_with_an_issue_and_a_word_in_backticks_are_none() {
    let tree = Tree::clean();
    tree.write(
        "src/core/src/lib.rs",
        "//! `TODO` is a word. TODO(#12): say more. TODOS.\n//! \n// XXX issue 7\n",
    );
    assert_eq!(tree.problems(), [""; 0]);
}

#[test]
fn a_name_that_nobody_planned_is_found() {
    let tree = Tree::clean();
    tree.write("utils/x", "");
    tree.write("target/x", "");
    tree.write(".gitignore", "/target/\n");
    tree.has("utils:1: layout: `utils` has no place");
}

#[test]
fn a_copied_manifest_is_found() {
    let tree = Tree::clean();
    fs::remove_file(tree.path("Cargo.lock")).unwrap();
    tree.write("Cargo.lock", "");
    tree.has("Cargo.lock:1: layout: `Cargo.lock` has to be a link to `src/workspace/Cargo.lock`");
}

#[test]
fn an_errand_without_its_job_is_found() {
    let tree = Tree::clean();
    tree.write("errands/backup/spec", "---\nname: backup\n");
    tree.write("errands/backup/README.md", "# backup\n");
    tree.has("errands/backup:1: errand: `jobs/backup` has to be a link to `../errands/backup`");
}

#[test]
fn an_errand_without_a_runbook_is_found() {
    let tree = Tree::clean();
    fs::remove_file(tree.path("errands/restore/README.md")).unwrap();
    tree.has("errands/restore:1: errand: an errand without a runbook");
}

#[test]
fn a_link_to_no_errand_is_found() {
    let tree = Tree::clean();
    symlink("../jobs/postgres", tree.path("jobs/other")).unwrap();
    tree.has("jobs/other:1: errand: `jobs/other` links to `../jobs/postgres`, which is no errand");
}

#[test]
fn a_property_without_a_description_is_found() {
    let tree = Tree::clean();
    let spec = "---\nname: postgres\nproperties:\n  a.b:\n    description: |\n      Text.\n  c:\n    default: 1\n    \
                example: {description: no}\n  d: {description: D.}\n  e:\n    description:\n";
    tree.write("jobs/postgres/spec", spec);
    let expected = [
        "jobs/postgres/spec:11: property: `e` has no description",
        "jobs/postgres/spec:7: property: `c` has no description",
    ];
    let mut problems = tree.problems();
    problems.sort();
    assert_eq!(problems, expected);
}

#[test]
fn a_dependency_that_the_readme_does_not_list_is_found() {
    let tree = Tree::clean();
    tree.write("src/workspace/Cargo.toml", &WORKSPACE.replace("serde = ", "hex = \"1\"\nserde = "));
    tree.has("README.md:3: readme: the table does not list `hex`");
}

#[test]
fn a_readme_without_the_table_is_found() {
    let tree = Tree::clean();
    tree.write("README.md", "# Remount\n");
    tree.has("README.md:1: readme: there is no section `Dependencies`");
}

#[test]
fn a_crate_that_is_not_on_the_map_is_found() {
    let tree = Tree::clean();
    tree.write(
        "src/ARCHITECTURE.md",
        &MAP.replace("| `src/flow` | steps | a socket | `src/flow/src/lib.rs` |\n", ""),
    );
    tree.has("src/ARCHITECTURE.md:1: map: `src/flow` is not on the map");
    fs::remove_file(tree.path("src/ARCHITECTURE.md")).unwrap();
    tree.has("src/ARCHITECTURE.md:1: map: there is no map of the code");
}

#[test]
fn a_row_of_the_map_that_says_too_little_is_found() {
    let tree = Tree::clean();
    tree.write("src/ARCHITECTURE.md", &MAP.replace("| a socket |", "| |"));
    tree.has("src/ARCHITECTURE.md:8: map: the row of `src/flow` says what it is for");
    tree.write("src/ARCHITECTURE.md", &MAP.replace("`src/flow/src/lib.rs`", "`src/core/src/lib.rs`"));
    tree.has("src/ARCHITECTURE.md:8: map: the row of `src/flow` names no file of it to read first");
}

#[test]
fn a_file_on_the_map_that_is_not_there_is_found() {
    let tree = Tree::clean();
    tree.write(
        "src/ARCHITECTURE.md",
        &format!("{MAP}\nSee `src/core/src/gone.rs`, `src/*/tests`, `s3/gone`.\n"),
    );
    tree.has("src/ARCHITECTURE.md:11: map: there is no `src/core/src/gone.rs`");
}

#[test]
fn a_cited_page_that_is_not_there_is_found() {
    let tree = Tree::clean();
    tree.write(
        "docs/there.md",
        "# There\n\nBeside: there.md, ../README.md, `docs/*.md`, https://host/gone.md.\n",
    );
    assert_eq!(tree.problems(), [""; 0]);
    for (file, line) in [
        ("src/core/src/lib.rs", "//! A rule (`docs/gone.md`)."),
        ("src/core/src/lib.rs", "const NEXT: &str = \"read docs/gone.md\";"),
        ("jobs/postgres/templates/run.erb", "# docs/gone.md says why"),
        ("docs/there.md", "[gone](gone.md)"),
    ] {
        let tree = Tree::clean();
        tree.write(file, &format!("\n{line}\n"));
        let name = if line.contains("docs/") { "docs/gone.md" } else { "gone.md" };
        tree.has(&format!("{file}:2: citation: there is no page `{name}`"));
    }
}

#[test]
fn a_cited_section_that_is_not_there_is_found() {
    let page = "# Page\n\n## 4. Locks\n\n## Stuck\n\n```\n# 9. A comment\n```\n";
    for (cited, problem) in [
        ("`docs/page.md` section 4", None),
        ("`docs/page.md`, sections 4 and 9", Some("`docs/page.md` has no section 9")),
        ("docs/page.md, section Stuck.", None),
        ("docs/page.md, section Gone", Some("`docs/page.md` has no section Gone")),
        ("docs/page.md, \"Stuck\"", None),
        ("docs/page.md, \"Gone\"", Some("`docs/page.md` has no section \"Gone\"")),
        ("docs/page.md#stuck", None),
        ("docs/page.md#gone", Some("`docs/page.md` has no section `#gone`")),
        ("`docs/page.md`,\n//! section 7", Some("`docs/page.md` has no section 7")),
    ] {
        let tree = Tree::clean();
        tree.write("docs/page.md", page);
        tree.write("src/core/src/lib.rs", &format!("//! A rule: {cited}\n"));
        match problem {
            None => assert_eq!(tree.problems(), [""; 0], "{cited}"),
            Some(problem) => tree.has(&format!("src/core/src/lib.rs:1: citation: {problem}")),
        }
    }
}

#[test]
fn a_page_outside_of_the_repository_is_found() {
    let tree = Tree::clean();
    tree.write("src/core/src/lib.rs", "//! The table of DESIGN section 5. (DESIGNED otherwise.)\n");
    tree.has("src/core/src/lib.rs:1: citation: `DESIGN` is not in the repository: cite docs/design.md");
    tree.write("src/core/src/lib.rs", "//! See /work/notes.txt.\n");
    tree.has("src/core/src/lib.rs:1: citation: `/work/` is not in the repository");
}

#[test]
fn words_that_are_not_used_here_are_found() {
    for (file, planted, expected) in [
        ("src/core/src/lib.rs", "const LOCK_PATIENCE: u8 = 1;", "`patience`: say limit"),
        ("src/core/src/lib.rs", "//! It is taken\n//! back.", "`taken back`: say rolled back"),
        ("src/core/src/lib.rs", "const A: &str = \"the Way back\";", "`way back`: say rollback"),
        ("src/core/src/lib.rs", "enum Begun { A }", "`Begun`: say StartedRestore"),
        ("src/core/src/lib.rs", "fn say(text: &str) {}", "`say`: say print"),
        ("src/core/src/lib.rs", "fn a() { tell!(1); }", "`tell!`: say message!"),
        ("src/core/src/lib.rs", "const FAREWELL: u8 = 1;", "`FAREWELL`: say SHUTDOWN_LIMIT"),
        ("docs/page.md", "Mend the properties.", "`mend the`: say fix the"),
        ("jobs/postgres/templates/run.erb", "# nobody yet", "`nobody yet`: say what is missing"),
    ] {
        let tree = Tree::clean();
        tree.write(file, &format!("{planted}\n"));
        tree.has(&format!("{file}:1: word: {expected}"));
    }
}

#[test]
fn longer_words_and_other_uses_are_none() {
    let tree = Tree::clean();
    let source = "//! Outstanding. The essay.\nenum What { Begun }\nfn essay() {}\nfn a() { retell!(1) }\n";
    tree.write("src/core/src/lib.rs", source);
    tree.write("docs/glossary.md", "Not `patience`.\n");
    assert_eq!(tree.problems(), [""; 0]);
}

#[test]
fn a_failure_that_is_not_documented_is_found() {
    let tree = Tree::clean();
    tree.write("src/core/Cargo.toml", &manifest("remount-wal", ""));
    tree.write(
        "src/workspace/Cargo.toml",
        &WORKSPACE.replace("remount-core = { path = \"src/core\" }\n", ""),
    );
    let said = "/// Fails.\n///\n/// # Errors\n/// Always.\n#[must_use]\npub async fn a() -> Result<(), E> {}\nfn b() -> Result<()> {}\n\
                pub fn c() -> Option<Result<()>> {}\n#[cfg(test)]\nmod tests {\n    pub fn d() -> Result<()> {}\n}\n";
    tree.write("src/core/src/lib.rs", said);
    assert_eq!(tree.problems(), [""; 0]);
    tree.write("src/core/src/lib.rs", "/// Fails.\npub fn a(b: u8) -> Result<(), E> {}\n");
    tree.has("src/core/src/lib.rs:2: errors: `a` can fail: say with what, under `# Errors`");
}
