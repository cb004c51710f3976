//! Reads: repeated where the answer is lost, lenient with what is read, redirected on our own host.

#![allow(clippy::unwrap_used)]

mod support;

use remount_director::{Director, Error, TaskId};
use support::{ID, Peer, Step, answer, task, to_task, with};

#[tokio::test]
async fn a_read_is_asked_again_until_it_is_answered() {
    let peer = Peer::plain([
        Step::CutBefore,
        answer(503, "starting"),
        Step::Raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[".into()),
        answer(200, r#"[{"type":"deployment","resource":["pg"],"timeout":"1.5","task_id":"7"}]"#),
    ]);
    let locks = peer.director().locks().await.unwrap();
    assert_eq!((locks[0].kind.as_str(), locks[0].task_id.as_deref()), ("deployment", Some("7")));
    assert_eq!(peer.lines(), vec!["GET /locks"; 3]);
}

#[tokio::test]
async fn a_read_is_given_up_when_the_time_is_over_and_says_how_often_it_was_tried() {
    let peer = Peer::plain(vec![answer(500, ""); 100]);
    let lost = peer.director().locks().await.unwrap_err();
    assert!(matches!(lost, Error::Unanswered { .. }), "{lost:?}");
    let tries = peer.received().len();
    assert!((3..=7).contains(&tries), "{tries}");
    assert!(lost.to_string().contains(&format!("({tries} attempts in ")), "{lost}");
}

#[tokio::test]
async fn a_redirect_leads_to_our_host_and_keeps_the_credentials() {
    let peer = Peer::plain([
        with(302, &[("Location", "https://director.internal:1/disks?page=2")], ""),
        answer(200, r#"[{"disk_cid":"d-1","size":10,"deployment_name":"pg","orphaned_at":"x"}]"#),
    ]);
    let disks = peer.director().orphaned_disks().await.unwrap();
    assert_eq!((disks[0].size, disks[0].orphaned_at), (Some(10), None));
    assert_eq!(peer.lines(), ["GET /disks", "GET /disks?page=2"]);
    assert!(peer.received().iter().all(|request| request.header("authorization").is_some()));
}

#[tokio::test]
async fn the_directors_times_are_read_and_what_is_none_is_none() {
    let disk = |time: &str| format!(r#"{{"disk_cid":"d-1","size":10,"orphaned_at":{time}}}"#);
    let times = [r#""2026-11-23 10:15:00 UTC""#, r#""""#, r#""yesterday""#, "null"].map(disk).join(",");
    let peer = Peer::plain([answer(200, &format!("[{times}]"))]);
    let read = peer.director().orphaned_disks().await.unwrap();
    let times: Vec<_> = read.iter().map(|disk| disk.orphaned_at.map(|time| time.to_string())).collect();
    assert_eq!(times, [Some("2026-11-23T10:15:00Z".to_owned()), None, None, None]);
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let peer = Peer::plain(vec![with(302, &[("Location", "/disks")], ""); 30]);
    assert!(matches!(peer.director().orphaned_disks().await, Err(Error::Unanswered { .. })));
}

#[tokio::test]
async fn instances_come_from_the_result_of_a_task() {
    let running = format!(
        r#"{{"vm_cid":"vm-1","active":true,"disk_cid":"d-1","disk_cids":["d-1"],"ips":["10.0.0.5"],"job_name":"postgres","index":0,"job_state":"unresponsive agent","state":"started","az":"z1","id":"{ID}","bootstrap":true,"ignore":false,"processes":[{{"name":"x","uptime":{{"secs":1}}}}],"vm_type":"small"}}"#
    );
    let gone = running.replace("\"vm-1\"", "null").replace("\"index\":0", "\"index\":1");
    let (first, second) = (format!("{gone}\n"), format!("{running}\n"));
    let size = first.len() + second.len();
    let peer = Peer::plain([
        to_task(5),
        task(5, "queued"),
        task(5, "done"),
        with(206, &[("Content-Range", &format!("bytes 0-{}/{size}", first.len() - 1))], &first),
        with(206, &[("Content-Range", &format!("bytes {}-{}/{size}", first.len(), size - 1))], &second),
    ]);
    let found = peer.director().instances(&"pg".parse().unwrap()).await.unwrap();
    assert_eq!(found.iter().map(|instance| instance.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(found[0].job_state.as_deref(), Some("unresponsive agent"));
    assert_eq!((found[0].vm.is_some(), found[1].vm.is_some()), (true, false));
    assert!(found[0].bootstrap);
    let lines = peer.lines();
    assert_eq!(lines[0], "GET /deployments/pg/instances?format=full");
    assert_eq!(lines[3..], ["GET /tasks/5/output?type=result", "GET /tasks/5/output?type=result"]);
    let ranges: Vec<_> = peer.received()[3..].iter().map(|r| r.header("range").unwrap().to_owned()).collect();
    assert_eq!(ranges, ["bytes=0-".to_owned(), format!("bytes={}-", first.len())]);
}

#[tokio::test]
async fn no_output_and_nothing_beyond_it_are_answers() {
    for step in [answer(204, ""), with(416, &[("Content-Range", "bytes */0")], "Byte range unsatisfiable")] {
        let peer = Peer::plain([to_task(5), task(5, "done"), step]);
        assert!(peer.director().instances(&"pg".parse().unwrap()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_cut_result_is_an_error_and_not_a_smaller_deployment() {
    let peer = Peer::plain([to_task(5), task(5, "done"), answer(200, r#"{"job_name":"postgr"#)]);
    let lost = peer.director().instances(&"pg".parse().unwrap()).await.unwrap_err();
    assert!(matches!(lost, Error::Unanswered { .. }), "{lost:?}");
}

#[tokio::test]
async fn open_tasks_are_found_wherever_the_directors_database_sorts_them() {
    let row = |id: u64, state: &str| {
        format!(
            r#"{{"id":{id},"state":"{state}","description":"attach disk 'd' to 'g/i'","timestamp":null,"deployment":"pg","context_id":"c"}}"#
        )
    };
    let peer = Peer::plain([
        answer(200, &format!("[{}]", row(9, "processing"))),
        answer(200, &format!("[{},{}]", row(8, "done"), row(9, "done"))),
    ]);
    let tasks = peer.director().tasks(&"pg".parse().unwrap(), 10).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [TaskId(9), TaskId(8)]);
    assert!(tasks[0].state.is_final(), "the later answer counts");
    assert_eq!(
        peer.lines(),
        [
            "GET /tasks?deployment=pg&state=queued,processing,cancelling&verbose=1",
            "GET /tasks?deployment=pg&limit=10&verbose=1"
        ]
    );
}

#[tokio::test]
async fn a_deployment_whose_name_cannot_be_ours_is_passed_over() {
    let peer = Peer::plain([answer(200, r#"[{"name":"pg","teams":[]},{"name":"a b"}]"#)]);
    assert_eq!(peer.director().deployments().await.unwrap(), ["pg".parse().unwrap()]);
}

#[tokio::test]
async fn info_is_told_without_a_user_where_the_credentials_are_refused() {
    let info = r#"{"name":"lab","uuid":"u","version":"1 (0)","user":null,"user_authentication":{"type":"basic","options":{}}}"#;
    let peer = Peer::plain([answer(401, "Not authorized: '/info'\n"), answer(200, info)]);
    let told = peer.director().info().await.unwrap();
    assert_eq!((told.name.as_str(), told.user), ("lab", None));
    assert_eq!(peer.received()[1].header("authorization"), None);
}
