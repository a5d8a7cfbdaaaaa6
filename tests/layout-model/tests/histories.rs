//! The rules in force, against every interleaving of each scenario's bounds. Prints the number of states of each.

use std::io::Write as _;

use longshore_layout_model::Blob::{X, Y};
use longshore_layout_model::Repository::{A, B};
use longshore_layout_model::{Model, Rules, explore};

const REQUESTS: [&str; 7] = ["push A", "push B", "mount", "HEAD", "PUT", "delete blob", "delete manifest"];

type Outcome = Result<(), String>;

fn good(name: &str, model: &Model) -> Outcome {
    let visited = explore(model).map_err(|bad| format!("{name}: {bad}"))?;
    // The number of states is the result: past libtest's capture, so that it is always to be seen.
    let _closed = writeln!(std::io::stderr().lock(), "    model: {name}: {visited}");
    Ok(())
}

fn with(model: Model, request: &str) -> Model {
    match request {
        "push A" => model.push(X, A),
        "push B" => model.push(X, B),
        "mount" => model.mount(),
        "HEAD" => model.renew(),
        "PUT" => model.put_manifest(&[X]),
        "delete blob" => model.delete_blob(),
        _ => model.delete_untagged(),
    }
}

/// Every choice of `number` requests of which `wanted` holds, on an old link in `A`.
fn groups(number: u32, collectors: usize, wanted: fn(&[&str]) -> bool) -> Outcome {
    for choice in 0_u32..1 << REQUESTS.len() {
        let chosen: Vec<&str> = REQUESTS
            .iter()
            .enumerate()
            .filter(|(index, _)| choice >> index & 1 == 1)
            .map(|(_, it)| *it)
            .collect();
        if choice.count_ones() != number || !wanted(&chosen) {
            continue;
        }
        let mut model = old_link().collectors(collectors);
        if chosen.contains(&"delete manifest") {
            model = model.manifest(&[X]);
        }
        model = chosen.iter().fold(model, |model, request| with(model, request));
        good(&format!("{}; collectors: {collectors}", chosen.join(", ")), &model)?;
    }
    Ok(())
}

fn old_link() -> Model {
    Model::new(Rules::design()).held(X, A)
}

#[test]
fn no_three_requests_with_a_push_to_the_same_repository_and_two_collectors_lose_a_blob() -> Outcome {
    groups(3, 2, |chosen| chosen.contains(&"push A"))
}

#[test]
fn no_other_three_requests_and_two_collectors_lose_a_blob() -> Outcome {
    groups(3, 2, |chosen| !chosen.contains(&"push A"))
}

#[test]
fn no_four_requests_with_a_blob_delete_and_one_collector_lose_a_blob() -> Outcome {
    groups(4, 1, |chosen| chosen.contains(&"delete blob"))
}

#[test]
fn no_other_four_requests_and_one_collector_lose_a_blob() -> Outcome {
    groups(4, 1, |chosen| !chosen.contains(&"delete blob"))
}

#[test]
fn push_mount_put_and_manifest_delete_with_two_collectors_lose_no_blob() -> Outcome {
    good("4+2", &old_link().manifest(&[X]).push(X, A).mount().put_manifest(&[X]).delete_untagged())
}

#[test]
fn a_manifest_over_two_blobs_loses_neither() -> Outcome {
    let held = Model::new(Rules::design()).held(X, A).held(Y, A).manifest(&[X, Y]);
    let all = held.push(X, B).mount().put_manifest(&[X, Y]).delete_untagged().collectors(1);
    good("two blobs, one collector", &all)?;
    good("two blobs, one new", &old_link().push(Y, A).put_manifest(&[X, Y]).delete_blob())
}

fn sessions() -> Model {
    Model::new(Rules { object_waits: true, ..Rules::design() })
}

#[test]
fn a_session_finalised_twice_and_swept_loses_no_blob_and_no_space() -> Outcome {
    good("session, old link", &sessions().held(X, A).push(X, B).finalise_again(X, B).sweep())?;
    good("session, second push", &sessions().push(X, B).finalise_again(X, B).sweep().push(X, A))?;
    let mounted = sessions().held(X, A).push(X, B).finalise_again(X, B).sweep().mount();
    good("session, mount", &mounted.collectors(1))
}

#[test]
fn a_tag_keeps_its_manifest_and_its_marker() -> Outcome {
    let design = Model::new(Rules::design());
    let tagged = old_link().manifest(&[X]).put_manifest(&[X]);
    good("tag, two collectors", &tagged.clone().delete_manifest().sweep_markers())?;
    good("tag, two PUTs", &tagged.put_manifest(&[X]).delete_manifest().sweep_markers().collectors(1))?;
    let twice = design.held(X, A).put_manifest(&[X]).put_manifest(&[X]);
    good("tag, two deletes", &twice.delete_manifest().delete_manifest().sweep_markers().collectors(0))
}

#[test]
fn a_listing_that_lags_loses_no_blob_while_condemned_objects_wait() -> Outcome {
    let rules = Rules { listings_lag: true, object_waits: true, ..Rules::design() };
    good("lag", &Model::new(rules).held(X, A).push(X, B).mount())
}
