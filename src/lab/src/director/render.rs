//! Renders an instance's jobs by running the renderer (contract in `docs/formats.md` section 6).

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::config::RenderCommand;
use super::error::{DirectorError, Result};
use crate::iaas::{RenderedFile, RenderedJob};

/// How often the renderer is asked whether it ended.
const POLL: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Answer {
    jobs: Vec<AnsweredJob>,
}

#[derive(Deserialize)]
struct AnsweredJob {
    name: String,
    files: std::collections::BTreeMap<String, AnsweredFile>,
}

#[derive(Deserialize)]
struct AnsweredFile {
    content: String,
    #[serde(default)]
    executable: bool,
}

/// Renders the jobs that `request` describes.
pub(crate) fn render(command: &RenderCommand, request: &Value) -> Result<Vec<RenderedJob>> {
    let output = run(command, request.to_string()).map_err(|error| {
        DirectorError::generic(format!("Unable to run the renderer '{}': {error}", command.program))
    })?;
    if !output.status.success() {
        let problems = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<String> = problems.lines().map(|line| format!("  - {line}")).collect();
        return Err(DirectorError::generic(format!(
            "Unable to render instance groups for deployment. Errors are:\n{}",
            lines.join("\n")
        )));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|error| DirectorError::generic(format!("The renderer's answer cannot be read: {error}")))?;
    Ok(answer.jobs.into_iter().map(rendered_job).collect())
}

fn rendered_job(job: AnsweredJob) -> RenderedJob {
    let file = |file: AnsweredFile| RenderedFile { content: file.content, executable: file.executable };
    let files = job.files.into_iter().map(|(path, f)| (path, file(f))).collect();
    RenderedJob { name: job.name, files, packages: Vec::new() }
}

struct Output {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

fn run(command: &RenderCommand, input: String) -> std::io::Result<Output> {
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    let writer = std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // A renderer that ends early says why on its standard error: a broken pipe adds nothing.
            stdin.write_all(input.as_bytes()).unwrap_or_default();
        }
    });
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let status = wait(&mut child, command.limit)?;
    writer.join().unwrap_or_default();
    Ok(Output { status, stdout: collect(stdout)?, stderr: collect(stderr)? })
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<std::io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

fn collect(reader: JoinHandle<std::io::Result<Vec<u8>>>) -> std::io::Result<Vec<u8>> {
    reader.join().unwrap_or_else(|_| Err(std::io::Error::other("the reading thread panicked")))
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(std::io::Error::other(format!("it did not end within {} s", limit.as_secs())));
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> RenderCommand {
        RenderCommand { program: "sh".into(), arguments: vec!["-c".into(), script.into()], limit }
    }

    #[test]
    fn the_problems_of_the_renderer_are_the_errors_text() {
        let command = shell("echo 'job a: one' >&2; echo 'job b: two' >&2; exit 1", Duration::from_secs(10));
        let error = render(&command, &Value::Null).unwrap_err();
        assert!(error.message.ends_with("Errors are:\n  - job a: one\n  - job b: two"), "{error}");
    }

    #[test]
    fn a_renderer_that_never_ends_is_killed() {
        let command = shell("exec sleep 600", Duration::from_millis(30));
        let before = Instant::now();
        assert!(render(&command, &Value::Null).unwrap_err().message.contains("did not end within"));
        assert!(before.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn an_answer_that_is_no_json_and_a_missing_program_are_errors() {
        let limit = Duration::from_secs(10);
        assert!(render(&shell("echo nonsense", limit), &Value::Null).is_err());
        let missing = RenderCommand { program: "/nowhere/ruby".into(), arguments: Vec::new(), limit };
        assert!(render(&missing, &Value::Null).unwrap_err().message.contains("/nowhere/ruby"));
    }
}
