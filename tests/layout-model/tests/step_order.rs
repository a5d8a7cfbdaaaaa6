//! The programs that the model runs say the order that the design's section on the layout fixes.

use longshore_layout_model::StepKind as K;
use longshore_layout_model::{Op, leased_path, own_path, usual_path};

#[test]
fn a_new_blob_is_committed_held_and_linked() {
    assert_eq!(own_path(), [K::CommitUpload, K::ListHolders, K::PutHolder, K::PutLink]);
}

#[test]
fn an_adopter_writes_its_holder_before_it_reads_the_mark_and_its_link_last() {
    let adopt = [K::PutHolder, K::GetCondemned, K::StatObject, K::PutLink];
    assert_eq!(usual_path(Op::Mount)[1..], adopt);
    assert_eq!(usual_path(Op::Renew)[1..], adopt);
    assert_eq!(usual_path(Op::Push)[2..6], adopt);
    assert_eq!(usual_path(Op::FinaliseAgain)[..], adopt);
    assert_eq!(usual_path(Op::PutManifest(1))[1..5], adopt);
}

#[test]
fn a_manifest_is_read_again_after_its_tag() {
    let record = [K::PutManifest, K::PutReferrer, K::PutMarker, K::PutTag, K::GetManifest];
    assert_eq!(leased_path(2)[..2], [K::ListLinks, K::ListLinks]);
    assert_eq!(leased_path(2)[2..], record);
}
