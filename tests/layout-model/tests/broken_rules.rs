//! Each rule switched off, one at a time: the walk must find the history that it prevents.
#![expect(clippy::print_stdout, reason = "the bad history is the result")]

use longshore_layout_model::Blob::{X, Y};
use longshore_layout_model::Repository::{A, B};
use longshore_layout_model::{Condemn, Markers, Model, Rules, explore};

fn design() -> Rules {
    Rules::design()
}

fn waiting() -> Rules {
    Rules { object_waits: true, ..design() }
}

fn mounts(rules: Rules) -> Model {
    Model::new(rules).held(X, A).mount()
}

fn puts(rules: Rules) -> Model {
    Model::new(rules).held(X, A).put_manifest(&[X])
}

fn tags(rules: Rules) -> Model {
    Model::new(rules).held(X, A).manifest(&[X]).put_manifest(&[X]).delete_manifest()
}

fn sessions(rules: Rules) -> Model {
    Model::new(rules).push(X, B).finalise_again(X, B)
}

/// The rule that is broken, the scenario, and what must be found.
fn table() -> Vec<(&'static str, Model, &'static str)> {
    let gone = "serves an object that was deleted";
    let lost = "lost a blob";
    let space = "left behind for ever";
    let tag = "a tag is left";
    let own = Model::new(Rules { own_object_is_condemned: false, ..waiting() });
    let d = design();
    vec![
        ("reads .condemned", mounts(Rules { reads_condemned: false, ..d }), gone),
        ("stats the object", mounts(Rules { stats_object: false, ..d }), gone),
        ("stale holders wait", mounts(Rules { stale_waits: false, ..d }), space),
        ("objects wait, listings lag", mounts(Rules { listings_lag: true, ..d }), gone),
        ("a late link keeps its holder", mounts(Rules { late_link_keeps_holder: false, ..d }), gone),
        ("old when the marking begins", puts(Rules { old_when_marking_begins: false, ..d }), lost),
        ("roots after the mark", puts(Rules { roots_after_mark: false, ..d }), lost),
        ("PUT relies on young links", puts(Rules { relies_on_young: false, ..d }), lost),
        ("PUT reads again", tags(Rules { second_read: false, ..d }), "nobody deleted it since"),
        (
            "a failed renewal is unknown",
            Model::new(Rules { failed_renewal_is_unknown: false, ..d }).held(X, A).renew(),
            "no young link",
        ),
        ("mark before the drop", mounts(Rules { mark_before_drop: false, look_again: true, ..d }), space),
        (
            "condemn by links",
            Model::new(Rules { condemn: Condemn::NoOtherHolder, look_again: true, ..d })
                .held(X, A)
                .shared_with(B),
            space,
        ),
        ("sweeper condemns", own.push(X, B).finalise_again(X, B).sweep(), gone),
        (
            "push condemns its own",
            Model::new(Rules { own_object_is_condemned: false, ..waiting() })
                .held(X, A)
                .push(X, B)
                .finalise_again(X, B),
            gone,
        ),
        (
            "finalise again adopts",
            sessions(Rules { own_object_is_adopted: false, ..waiting() }).sweep(),
            gone,
        ),
        ("objects wait, two finalises", sessions(d), gone),
        ("markers outlive a delete (first)", tags(Rules { markers: Markers::DroppedFirst, ..d }), tag),
        ("markers outlive a delete (last)", tags(Rules { markers: Markers::DroppedLast, ..d }), tag),
        (
            "markers of their own",
            tags(Rules { markers: Markers::Shared, ..d }).sweep_markers().collectors(0),
            tag,
        ),
        (
            "two blobs, PUT relies on young links",
            Model::new(Rules { relies_on_young: false, ..d })
                .held(X, A)
                .push(Y, A)
                .put_manifest(&[X, Y])
                .collectors(1),
            lost,
        ),
    ]
}

#[test]
fn every_rule_left_out_has_its_bad_history() {
    for (rule, model, expected) in table() {
        match explore(&model) {
            Ok(visited) => panic!("without \"{rule}\" nothing bad was found in {visited}"),
            Err(bad) => {
                println!("without \"{rule}\": {bad}");
                assert!(bad.broken.contains(expected), "without \"{rule}\": {bad}");
            }
        }
    }
}

#[test]
fn the_same_scenarios_are_good_with_every_rule() {
    let waiting_own = Model::new(waiting()).push(X, B).sweep().push(X, A).collectors(1);
    for model in [mounts(design()), puts(design()), tags(design()), sessions(waiting()).sweep(), waiting_own]
    {
        if let Err(bad) = explore(&model) {
            panic!("{bad}");
        }
    }
}

/// On a store whose listings are current the wait of W before an object goes prevents nothing, unless a session is
/// finalised twice: it is there for listings that lag, and for that.
#[test]
fn the_wait_is_redundant_where_listings_are_current() {
    for model in [mounts(design()).renew(), puts(design()).mount()] {
        assert!(explore(&model).is_ok());
    }
}
