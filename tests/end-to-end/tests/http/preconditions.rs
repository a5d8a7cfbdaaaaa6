//! Writes that depend on what is there: `If-Match` and `If-None-Match` of PUT and DELETE.

use longshore_end_to_end::client::{OCI_INDEX, manifest_path};
use longshore_end_to_end::{Client, Registry, sha256};
use reqwest::{Method, Response, StatusCode};

use crate::{REPOSITORY, code, index_of};

/// Indexes of different bytes.
fn manifest(number: usize) -> String {
    let bare = String::from_utf8(index_of(&[]).to_vec()).unwrap();
    bare.replacen('{', &format!("{{\"annotations\":{{\"number\":\"{number}\"}},"), 1)
}

fn tag_of(manifest: &str) -> String {
    format!("\"{}\"", sha256(manifest.as_bytes()))
}

async fn put(client: &Client, reference: &str, condition: (&'static str, &str), manifest: &str) -> Response {
    let request = client.request(Method::PUT, &manifest_path(REPOSITORY, reference));
    let request = request.header("Content-Type", OCI_INDEX).header(condition.0, condition.1);
    request.body(manifest.to_owned()).send().await.unwrap()
}

async fn now(client: &Client, tag: &str) -> String {
    String::from_utf8(client.get_manifest(REPOSITORY, tag).await.unwrap().to_vec()).unwrap()
}

async fn is_refused(response: Response) {
    assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(code(response).await, "DENIED");
}

#[tokio::test]
async fn a_tag_is_made_only_once_if_the_pusher_says_so() {
    let registry = Registry::start().await;
    let client = registry.client();
    let (one, two) = (manifest(1), manifest(2));
    let new = ("If-None-Match", "*");
    assert_eq!(put(&client, "v1", new, &one).await.status(), StatusCode::CREATED);
    is_refused(put(&client, "v1", new, &two).await).await;
    assert_eq!(now(&client, "v1").await, one);
    let gone = client.get(&manifest_path(REPOSITORY, &sha256(two.as_bytes()))).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND, "nothing of what was refused is stored");
    let delete = client.request(Method::DELETE, &manifest_path(REPOSITORY, "v1"));
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(put(&client, "v1", new, &two).await.status(), StatusCode::CREATED, "a deleted tag is absent");
    let digest = sha256(two.as_bytes());
    is_refused(put(&client, &digest, new, &two).await).await;
}

#[tokio::test]
async fn a_tag_moves_only_from_where_its_pusher_saw_it() {
    let registry = Registry::start().await;
    let client = registry.client();
    let (one, two, three) = (manifest(1), manifest(2), manifest(3));
    is_refused(put(&client, "v1", ("If-Match", "*"), &one).await).await;
    is_refused(put(&client, "v1", ("If-Match", &tag_of(&one)), &one).await).await;
    assert_eq!(put(&client, "v1", ("If-Match-Not-Known", "*"), &one).await.status(), StatusCode::CREATED);
    assert_eq!(put(&client, "v1", ("If-Match", &tag_of(&one)), &two).await.status(), StatusCode::CREATED);
    is_refused(put(&client, "v1", ("If-Match", &tag_of(&one)), &three).await).await;
    is_refused(put(&client, "v1", ("If-Match", &format!("W/{}", tag_of(&two))), &three).await).await;
    is_refused(put(&client, "v1", ("If-None-Match", &tag_of(&two)), &three).await).await;
    assert_eq!(now(&client, "v1").await, two);
    let delete = |condition: String| {
        client.request(Method::DELETE, &manifest_path(REPOSITORY, "v1")).header("If-Match", condition).send()
    };
    is_refused(delete(tag_of(&one)).await.unwrap()).await;
    assert_eq!(now(&client, "v1").await, two);
    assert_eq!(delete(tag_of(&two)).await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(delete(tag_of(&two)).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_pushers_who_saw_the_same_one_wins() {
    let registry = Registry::start().await;
    let client = registry.client();
    let mut seen: Option<String> = None;
    for round in 0..20 {
        let pushes = (0..6).map(|number| {
            let (client, seen) = (client.clone(), seen.clone());
            async move {
                let own = manifest(round * 10 + number);
                let condition =
                    seen.map_or(("If-None-Match", "*".to_owned()), |seen| ("If-Match", tag_of(&seen)));
                (put(&client, "race", (condition.0, &condition.1), &own).await.status().as_u16(), own)
            }
        });
        let outcomes = futures_util::future::join_all(pushes).await;
        let won: Vec<_> = outcomes.iter().filter(|(status, _)| *status == 201).collect();
        assert!(outcomes.iter().all(|(status, _)| [201, 412].contains(status)), "{outcomes:?}");
        // The first round makes the tag, the others move it.
        let conditions = registry.kept().conditions();
        let is_kept = if seen.is_none() { conditions.if_absent } else { conditions.if_match };
        assert!(won.len() == 1 || !is_kept && won.len() > 1, "round {round}: {outcomes:?}");
        let stays = now(&client, "race").await;
        assert!(won.iter().any(|(_, own)| *own == stays), "round {round}: {outcomes:?}, and then {stays}");
        seen = Some(stays);
    }
}
