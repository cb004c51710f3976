//! `faultproxy` as operators and other programs start it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::client::send;
use crate::peer::Peer;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn proxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultproxy"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn it_prints_where_it_listens_and_writes_a_line_per_request() {
    let folder = tempfile::tempdir().unwrap();
    let (script, log) = (folder.path().join("script.json"), folder.path().join("log"));
    let rules = json!([{"method": "PUT", "path": "/b*", "fault": {"kind": "drop_after"}}]);
    std::fs::write(&script, rules.to_string()).unwrap();
    let peer = Peer::start();
    let (script, logged) = (script.to_str().unwrap(), log.to_str().unwrap());
    let arguments = ["--upstream", &peer.url(), "--script", script, "--log", logged, "--seed", "7"];
    let mut running = Running(proxy(&arguments).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening: http://").unwrap().parse().unwrap();
    let mut told = String::new();
    BufReader::new(running.0.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert_eq!(told, "seed: 7\n");

    assert_eq!(send(address, "GET", "/a?token=secret", b"").status(), 201);
    assert!(send(address, "PUT", "/b/c", b"secret").is_nothing());
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(!written.contains("secret"), "{written}");
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = json!([
        {"number": 1, "method": "GET", "path": "/a", "rule": null, "fault": null, "upstream_status": 201},
        {"number": 2, "method": "PUT", "path": "/b/c", "rule": 1, "fault": "drop_after", "upstream_status": 201},
    ]);
    assert_eq!(Value::from(lines), expected);
}

#[test]
fn a_script_that_cannot_be_carried_out_is_refused_with_all_its_problems() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.json");
    std::fs::write(&script, r#"[{"fault": {"kind": "boom"}}, {"times": 0, "fault": {"kind": "cut"}}]"#)
        .unwrap();
    let output =
        proxy(&["--upstream", "http://127.0.0.1:1", "--script", script.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    for part in ["script.json", "rule 1: fault", "boom", "rule 2: `times`", "`bytes` is missing"] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}
