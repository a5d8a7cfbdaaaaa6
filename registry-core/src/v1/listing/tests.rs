//! Listings of whole stores, made in memory as the V1 registry makes them.

mod bench;

use longshore_driver_sdk::Reason;
use serde_json::{Value, json};

use self::bench::{Bench, id};
use crate::v1::ListError;

/// The findings of a tag, as `what` and the image that it is about.
fn findings(line: &Value, field: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    line[field].as_array().unwrap().iter().map(|one| (text(&one["what"]), text(&one["image"]))).collect()
}

fn one(what: &str, image: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), image.to_owned())]
}

#[tokio::test]
async fn repositories_tags_and_sums_are_shown_and_shared_images_counted_once() {
    let bench = Bench::new();
    let base = bench.image(1, None, b"base").await;
    let app = bench.image(2, Some(&base), b"application").await;
    bench.tag("library/base", "latest", &base).await;
    bench.tag("team/app", "1.0", &app).await;
    bench.tag("team/app", "latest", &app).await;
    bench.put("repositories/team/app/_private", b"").await;
    bench.image(3, Some(&base), b"nobody's").await;
    let lines = bench.list().await;
    let tag = |repository: &str, tag: &str, image: &str, layers: u32, bytes: u32| {
        json!({"kind": "tag", "repository": repository, "tag": tag, "image": image, "layers": layers,
               "bytes": bytes, "damage": [], "notes": []})
    };
    let repository = |name: &str, private: bool, tags: u32, images: u32, bytes: u32| {
        json!({"kind": "repository", "repository": name, "private": private, "tags": tags,
               "damaged_tags": 0, "images": images, "bytes": bytes, "notes": []})
    };
    assert_eq!(
        lines,
        [
            tag("library/base", "latest", &base, 1, 4),
            repository("library/base", false, 1, 1, 4),
            tag("team/app", "1.0", &app, 2, 15),
            tag("team/app", "latest", &app, 2, 15),
            repository("team/app", true, 2, 2, 15),
            json!({"kind": "summary", "repositories": 2, "tags": 3, "damaged_tags": 0,
                   "images": {"all": 3, "reached": 2, "damaged": 0, "missing": 0, "unreferenced": 1},
                   "bytes": {"all": 23, "reached": 15, "unreferenced": 8}, "other_entries": 0}),
        ]
    );
}

#[tokio::test]
async fn each_damage_of_an_image_is_told_of_every_tag_that_needs_it() {
    for (file, content, what) in [
        ("_inprogress", Some(&b"true"[..]), "in_progress"),
        ("layer", None, "layer_missing"),
        ("layer", Some(b""), "layer_empty"),
        ("json", None, "json_missing"),
        ("json", Some(b"{"), "json_unreadable"),
        ("json", Some(br#"{"id":"0123456789abcdef"}"#), "json_other_id"),
        ("ancestry", None, "ancestry_missing"),
        ("ancestry", Some(b"[\""), "ancestry_unreadable"),
        ("ancestry", Some(b"[]"), "ancestry_broken"),
    ] {
        let bench = Bench::new();
        let base = bench.image(1, None, b"base").await;
        let middle = bench.image(2, Some(&base), b"middle").await;
        let top = bench.image(3, Some(&middle), b"top").await;
        bench.tag("library/app", "middle", &middle).await;
        bench.tag("library/app", "top", &top).await;
        let key = format!("images/{middle}/{file}");
        match content {
            Some(content) => bench.put(&key, content).await,
            None => bench.delete(&key).await,
        }
        let lines = bench.list().await;
        for line in &lines[..2] {
            assert_eq!(findings(line, "damage"), one(what, &middle), "{file}: {line}");
        }
        // By way of the ancestry, where a JSON says nothing.
        assert_eq!((&lines[0]["layers"], &lines[1]["layers"]), (&json!(2), &json!(3)), "{what}");
        let summary = lines.last().unwrap();
        assert_eq!(
            summary["images"],
            json!({"all": 3, "reached": 3, "damaged": 1, "missing": 0, "unreferenced": 0})
        );
        assert_eq!(summary["damaged_tags"], 2);
    }
}

#[tokio::test]
async fn an_ancestry_is_held_against_the_parents() {
    let bench = Bench::new();
    let ids: Vec<String> = (1..5).map(id).collect();
    bench.image(1, None, b"1").await;
    for number in 2..5 {
        bench.image(number, Some(&id(number - 1)), b"x").await;
    }
    bench.tag("library/app", "top", &ids[3]).await;
    let damage = async |of: usize, ancestry: Value| {
        let key = format!("images/{}/ancestry", ids[of]);
        let whole = bench.get(&key).await;
        bench.put(&key, ancestry.to_string().as_bytes()).await;
        let line = bench.list().await.swap_remove(0);
        bench.put(&key, &whole).await;
        assert_eq!(line["layers"], 4, "the parents are the truth");
        findings(&line, "damage")
    };
    let broken = |of: usize| one("ancestry_broken", &ids[of]);
    assert_eq!(damage(3, json!([ids[3], ids[2], ids[1]])).await, broken(3), "it ends early");
    assert_eq!(damage(3, json!([ids[3], ids[1], ids[2], ids[0]])).await, broken(3), "another order");
    assert_eq!(damage(3, json!([ids[3], ids[2], ids[1], ids[0], id(9)])).await, broken(3), "it goes on");
    assert_eq!(damage(2, json!([ids[2]])).await, broken(2), "one that no tag points at");
    assert_eq!(findings(&bench.list().await[0], "damage"), []);
}

#[tokio::test]
async fn images_that_are_not_there_are_damage_of_the_tag_and_circles_end() {
    let bench = Bench::new();
    let child = bench.image(2, Some(&id(1)), b"child").await;
    bench.put(&format!("images/{child}/ancestry"), json!([child, id(1)]).to_string().as_bytes()).await;
    bench.tag("a/dangling", "1", &id(9)).await;
    bench.tag("b/orphan", "1", &child).await;
    bench.image(5, Some(&id(5)), b"its own parent").await;
    bench.tag("c/circle", "1", &id(5)).await;
    let lines = bench.list().await;
    assert_eq!(findings(&lines[0], "damage"), one("image_missing", &id(9)));
    assert_eq!((&lines[0]["layers"], &lines[0]["image"]), (&json!(1), &json!(id(9))));
    assert_eq!(findings(&lines[2], "damage"), one("image_missing", &id(1)));
    assert_eq!(findings(&lines[4], "damage"), one("ancestry_broken", &id(5)));
    let images = json!({"all": 2, "reached": 2, "damaged": 1, "missing": 2, "unreferenced": 0});
    assert_eq!(lines.last().unwrap()["images"], images);
}

#[tokio::test]
async fn a_file_like_a_tags_is_one_by_its_content() {
    let bench = Bench::new();
    let image = bench.image(1, None, b"layer").await;
    // The registry writes tag_foo_json and tagfoo_json for the tags `_foo` and `foo`.
    bench.tag("library/app", "_foo", &image).await;
    bench.tag("library/app", "bar_json", &image).await;
    bench.put("repositories/library/app/tag_bad", b"latest\x1b").await;
    bench.put("repositories/library/app/tag_a+b", image.as_bytes()).await;
    bench.put("repositories/library/App/tag_1", image.as_bytes()).await;
    bench.put("repositories/library/not-a-repository", b"x").await;
    let lines = bench.list().await;
    let tags: Vec<_> = lines.iter().filter(|line| line["kind"] == "tag").collect();
    let names: Vec<_> = tags.iter().map(|tag| tag["tag"].as_str().unwrap()).collect();
    assert_eq!(names, ["1", "_foo", "a b", "bad", "bar_json"]);
    assert_eq!(findings(tags[3], "damage"), one("tag_unreadable", ""));
    assert_eq!(tags[3]["image"], Value::Null);
    assert_eq!(findings(tags[2], "notes"), one("no_v2_name", ""));
    assert_eq!(
        (&lines[1]["repository"], findings(&lines[1], "notes")),
        (&json!("library/App"), one("no_v2_name", ""))
    );
}

#[tokio::test]
async fn checksums_are_compared_when_asked_for_and_what_cannot_be_is_said() {
    let mut bench = Bench::new();
    for number in 1..5 {
        bench.image(number, None, b"layer").await;
        bench.tag("library/app", &number.to_string(), &id(number)).await;
    }
    bench.put(&format!("images/{}/layer", id(2)), b"other").await;
    bench.put(&format!("images/{}/_checksum", id(3)), br#"["tarsum+sha256:00"]"#).await;
    bench.delete(&format!("images/{}/_checksum", id(4))).await;
    let lines = bench.list().await;
    assert!(lines[..4].iter().all(|line| findings(line, "damage").is_empty()), "not unless asked for");
    assert_eq!(lines[5].get("checksums"), None);
    bench.options.verify = true;
    let lines = bench.list().await;
    assert_eq!(findings(&lines[1], "damage"), one("checksum_mismatch", &id(2)));
    assert_eq!(findings(&lines[2], "notes"), one("not_checked", &id(3)));
    assert_eq!(findings(&lines[3], "notes"), one("not_checked", &id(4)));
    assert!(findings(&lines[0], "damage").is_empty() && findings(&lines[0], "notes").is_empty());
    assert_eq!(lines[5]["checksums"], json!({"matched": 1, "mismatched": 1, "not_checked": 2}));
}

#[tokio::test]
async fn what_no_tag_reaches_is_counted_and_shown_when_asked_for() {
    let mut bench = Bench::new();
    bench.tag("library/app", "1", &bench.image(1, None, b"layer").await).await;
    bench.image(2, None, b"nobody's").await;
    bench.put(&format!("images/{}/_inprogress", id(3)), b"true").await;
    bench.put("images/lost+found", b"x").await;
    bench.options.unreferenced = true;
    let lines = bench.list().await;
    assert_eq!(lines[2], json!({"kind": "image", "image": id(2), "bytes": 8, "in_progress": false}));
    assert_eq!(lines[3], json!({"kind": "image", "image": id(3), "bytes": 0, "in_progress": true}));
    let images = json!({"all": 3, "reached": 1, "damaged": 0, "missing": 0, "unreferenced": 2});
    assert_eq!((&lines[4]["images"], &lines[4]["other_entries"]), (&images, &json!(1)));
}

#[tokio::test]
async fn listings_of_several_pages_are_whole_with_no_more_calls_at_once_than_allowed() {
    const IMAGES: u32 = 700;
    let mut bench = Bench::new();
    let base = bench.image(0, None, b"b").await;
    for number in 1..=IMAGES {
        let image = bench.image(number, Some(&base), b"x").await;
        bench.tag("library/app", &format!("{number:05}"), &image).await;
    }
    bench.options.jobs = 3;
    let lines = bench.list().await;
    assert_eq!(lines.len(), IMAGES as usize + 2);
    let tags: Vec<_> = lines[..IMAGES as usize].iter().map(|line| line["tag"].as_str().unwrap()).collect();
    assert!(tags.is_sorted(), "in their order");
    let summary = lines.last().unwrap();
    assert_eq!((&summary["images"]["all"], &summary["images"]["reached"]), (&json!(701), &json!(701)));
    assert_eq!((&summary["bytes"]["all"], &summary["damaged_tags"]), (&json!(701), &json!(0)));
    assert_eq!(bench.driver.most_at_once(), 3);
    assert_eq!(bench.driver.lists_of(&format!("images/{base}/")), 1, "it is remembered");
}

#[tokio::test]
async fn one_object_that_fails_is_damage_and_a_driver_that_fails_ends_the_listing() {
    let bench = Bench::new();
    let image = bench.image(1, None, b"layer").await;
    bench.tag("library/app", "1", &image).await;
    let json = format!("images/{image}/json");
    bench.driver.fail(&json, Reason::IoError);
    assert_eq!(findings(&bench.list().await[0], "damage"), one("json_unreadable", &image));
    bench.driver.fail(&json, Reason::BackendUnavailable);
    match bench.try_list().await {
        Err(ListError::Driver(error)) => assert_eq!(error.reason(), Reason::BackendUnavailable),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_store_of_something_else_is_no_empty_listing() {
    let bench = Bench::new();
    bench.put("docker/registry/v2/x", b"x").await;
    let error = bench.try_list().await.unwrap_err();
    assert!(matches!(error, ListError::NoStore) && error.to_string().contains("storage_path"), "{error}");
}

#[tokio::test]
async fn people_are_shown_a_table() {
    let mut bench = Bench::new();
    let image = bench.image(1, None, b"layer").await;
    bench.tag("library/App", "1", &image).await;
    bench.tag("library/App", "2", &id(9)).await;
    bench.options.unreferenced = true;
    bench.image(3, None, b"nobody's").await;
    let table = bench.table().await;
    for part in [
        "library/App\n",
        "  1                            000000000001      1 layer          5 B\n",
        "  2                            000000000009      1 layer          0 B  DAMAGED\n",
        "      000000000009: the tag points at an image that is not there\n",
        "  note: no V2 name: it has upper-case letters\n",
        "  2 tags, 1 damaged, 1 image, 5 B\n",
        "tags          2, 1 damaged\n",
        "images        1 that tags reach, 5 B; 0 of them damaged, and 1 missing\n",
        "no tag        reaches 1 image, 8 B\n",
    ] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
}
