//! The surface: answers, redirects, credentials, scopes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::Client;
use crate::landscape::{Landscape, account};

#[test]
fn an_asynchronous_route_answers_302_with_an_absolute_location_as_the_director_sees_itself() {
    let lab = Landscape::deployed_with(|c| c.location_base = Some("https://10.9.9.9:25555".into()));
    let answer = lab.action(0, "stop");
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), format!("https://10.9.9.9:25555/tasks/{}", answer.task()));
    assert_eq!(answer.header("content-type"), "text/html;charset=utf-8");
    assert_eq!(lab.client.get("/deployments").header("content-type"), "text/html;charset=utf-8");
    lab.client.finish(answer.task());
}

#[test]
fn info_needs_no_credentials_and_says_how_to_get_some() {
    let lab = Landscape::with(|c| c.uaa_clients = vec![account("remount", "s", &["bosh.admin"])]);
    let anonymous = Client::new(&lab.director.url(), lab.director.ca_pem());
    let info = anonymous.get("/info").json();
    assert!(info["user"].is_null());
    assert_eq!(info["uuid"], lab.director.uuid());
    assert_eq!(info["user_authentication"]["type"], "uaa");
    assert_eq!(info["user_authentication"]["options"]["url"], lab.director.uaa_url());
    assert_eq!(info["features"]["snapshots"]["status"], false);
    assert_eq!(lab.client.get("/info").json()["user"], "admin");
}

#[test]
fn wrong_credentials_are_refused_in_plain_text_and_every_answer_carries_the_challenge() {
    let lab = Landscape::empty();
    let stranger = Client::new(&lab.director.url(), lab.director.ca_pem()).basic("admin", "wrong");
    let answer = stranger.get("/deployments");
    assert_eq!((answer.status, answer.body.as_str()), (401, "Not authorized: '/deployments'\n"));
    let good = lab.client.get("/deployments");
    assert_eq!(good.status, 200);
    assert_eq!(good.header("www-authenticate"), "Basic realm=\"BOSH Director\"");
}

#[test]
fn a_token_works_until_it_expires() {
    let validity = Duration::from_millis(1500);
    let lab = Landscape::with(|c| {
        c.uaa_clients = vec![account("remount", "s", &["bosh.admin"])];
        c.token_validity = validity;
    });
    let anonymous = Client::new(&lab.director.url(), lab.director.ca_pem());
    let fetch = |secret: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!("remount:{secret}")));
        let headers =
            [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        anonymous.send("POST", "/uaa/oauth/token", &headers, "grant_type=client_credentials").unwrap()
    };
    assert_eq!(fetch("wrong").status, 401);
    let answer = fetch("s").json();
    assert_eq!((answer["token_type"].as_str(), answer["expires_in"].as_u64()), (Some("bearer"), Some(1)));
    let client = anonymous.bearer(answer["access_token"].as_str().unwrap());
    assert_eq!(client.get("/deployments").status, 200);
    let deadline = std::time::Instant::now() + validity * 5;
    while client.get("/deployments").status != 401 {
        assert!(std::time::Instant::now() < deadline, "the token never expired");
        std::thread::sleep(Duration::from_millis(20));
    }
    let client = anonymous.bearer(fetch("s").json()["access_token"].as_str().unwrap());
    assert_eq!(client.get("/deployments").status, 200);
    lab.director.revoke_tokens();
    assert_eq!(client.get("/deployments").status, 401);
}

#[test]
fn a_team_admin_may_not_touch_disks_and_a_reader_may_not_change_anything() {
    let lab = Landscape::deployed_with(|c| {
        c.users.push(account("team", "t", &["bosh.teams.db.admin"]));
        c.users.push(account("reader", "r", &["bosh.read"]));
    });
    let anonymous = Client::new(&lab.director.url(), lab.director.ca_pem());
    let (team, reader) = (anonymous.basic("team", "t"), anonymous.basic("reader", "r"));
    for answer in [
        team.get("/disks"),
        team.put("/disks/d/attachments?deployment=pg&job=db&instance_id=x"),
        team.get("/deployments/pg"),
        reader.delete("/disks/d"),
        reader.delete("/task/1"),
        reader.get("/deployments/pg/jobs/db/0"),
        reader.post("/deployments/pg/instance_groups/db/0/actions/stop"),
    ] {
        assert_eq!((answer.status, answer.code()), (401, 600_000), "{}", answer.body);
        assert!(answer.body.contains("Require one of the scopes: bosh.admin"));
    }
    assert_eq!(reader.get("/deployments/pg").status, 200);
    assert_eq!(reader.get("/locks").status, 200);
    let name = "name: own\ninstance_groups: []\n";
    let answer = team.send("POST", "/deployments", &[("content-type", "text/yaml")], name).unwrap();
    team.done(&answer);
    assert_eq!(team.get("/deployments/own").status, 200, "the team owns what it made");
}

#[test]
fn unknown_things_have_their_codes_and_unknown_routes_are_plain_text() {
    let lab = Landscape::deployed();
    let code = |path: &str| {
        let answer = lab.client.get(path);
        (answer.status, answer.code())
    };
    assert_eq!(code("/deployments/none"), (404, 70000));
    assert_eq!(code("/deployments/pg/jobs/db/9"), (404, 70001));
    assert_eq!(code("/deployments/pg/jobs/db/x"), (400, 70002));
    assert_eq!(code("/tasks/99"), (404, 10000));
    let answer = lab.client.get("/nowhere");
    assert_eq!((answer.status, answer.body.as_str()), (404, "Endpoint '/nowhere' not found."));
    let answer = lab.client.put("/deployments/pg/jobs/db/0?state=stopped");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (404, "Endpoint '/deployments/pg/jobs/db/0' not found.")
    );
    let answer = lab.client.post("/deployments");
    assert_eq!(answer.status, 404);
    let long = "x".repeat(65);
    let answer = lab.client.with_context(&long).get("/deployments");
    assert_eq!((answer.status, answer.code()), (400, 70010));
}
