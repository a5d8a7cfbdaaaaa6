//! List (contract section L).

use longshore_driver_proto::v1;
use longshore_driver_proto::v1::entry::Is;
use longshore_driver_sdk::key::is_component;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{answered, refused};
use crate::check;
use crate::check::Check;
use crate::connection::Connection;
use crate::verdict::{Verdict, ensure, equal};
use crate::writer::fence;

pub(super) const CHECKS: &[Check] = &[
    check!("list.order-of-one-level", ["L1", "L2"], [], order_of_one_level),
    check!("list.order-recursive", ["L1", "L2", "K5"], [], order_recursive),
    check!("list.empty-prefix", ["L2"], [], empty_prefix),
    check!("list.prefix-is-a-folder", ["L2"], [], prefix_is_a_folder),
    check!("list.prefix-without-a-slash", ["L2"], [], prefix_without_a_slash),
    check!("list.nothing", ["L2", "L4"], [], nothing),
    check!("list.entries-are-objects", ["L2", "O3"], [], entries_are_objects),
    check!("list.emptied-folder-is-not-shown", ["L2"], [], emptied_folder_is_not_shown),
    check!("list.start-after-is-exclusive", ["L3"], [], start_after_is_exclusive),
    check!("list.start-after-need-not-exist", ["L3"], [], start_after_need_not_exist),
    check!("list.start-after-a-common-prefix", ["L3", "L2"], [], start_after_a_common_prefix),
    check!("list.start-after-outside", ["L3"], [], start_after_outside),
    check!("list.limit", ["L3"], [], limit),
    check!("list.limit-zero-and-huge", ["L3", "H9"], [], limit_zero_and_huge),
    check!("list.more-is-exact", ["L4"], [], more_is_exact),
    check!("list.pages-show-everything-once", ["L6", "L4"], [], pages_show_everything_once),
    check!("list.pages-of-one", ["L3", "L4"], [], pages_of_one),
    check!("list.pages-of-common-prefixes", ["L2", "L3"], [], pages_of_common_prefixes),
    check!("list.changes-while-paging", ["L6"], [], changes_while_paging),
    check!("list.large-folder", ["L8", "L6"], [], large_folder),
    check!("list.is-current", ["L5"], [ListIsCurrent], is_current),
    check!("list.is-current-at-the-second", ["L5"], [ListIsCurrent, Second], is_current_at_the_second),
    check!("list.no-sessions-no-reserved-keys", ["L7", "K3"], [], no_sessions_no_reserved_keys),
    check!("list.deep", ["L2", "K1"], [], deep),
];

/// In which `-` and `.` sort before `/`, and `0` behind it. `a` comes last: a backend for which it can't be an object
/// beside a folder refuses it alone.
const NAMES: [&str; 12] =
    ["A", "a+b", "a-b", "a.b", "a/1", "a/b/c", "a/b/d", "a0", "a~", "b/x", "tag_1", "a"];

async fn filled(bed: &Bed, names: &[&str]) -> Verdict<Connection> {
    let driver = bed.driver().await;
    for name in names {
        // A backend for which `a` can't be an object and a folder may refuse (contract clause K5).
        match driver.put_key(&bed.key(name), name.as_bytes().to_vec()).await {
            Err(said) if said.is(Code::FailedPrecondition, "KEY_CONFLICT") => {}
            other => drop(answered(format!("Put of {name}"), other)?),
        }
    }
    leave_out_what_hides_others(bed, &driver, names).await?;
    Ok(driver)
}

/// Deletes `a` where it is taken beside a folder and listings lack exactly what lies in that (contract clause K5): that must
/// be there again then, or the checks find it missing.
async fn leave_out_what_hides_others(bed: &Bed, driver: &Connection, names: &[&str]) -> Verdict {
    let below = |name: &str| name.starts_with("a/");
    if !names.contains(&"a") || !names.iter().any(|name| below(name)) {
        return Ok(());
    }
    let mut without: Vec<_> = names.iter().copied().filter(|name| !below(name)).collect();
    without.sort_unstable();
    if page(bed, "", true, "", 0).await? == (without.iter().map(ToString::to_string).collect(), false) {
        answered("Delete of a", driver.delete_key(&bed.key("a"), None).await)?;
    }
    Ok(())
}

/// Names that are there: a driver may have refused one.
async fn present(bed: &Bed, names: &[&str]) -> Verdict<Vec<String>> {
    let driver = filled(bed, names).await?;
    let mut there = Vec::new();
    for name in names {
        if driver.stat_key(&bed.key(name)).await.is_ok() {
            there.push((*name).to_owned());
        }
    }
    there.sort();
    Ok(there)
}

fn name(bed: &Bed, entry: &v1::Entry) -> String {
    let whole = match &entry.is {
        Some(Is::Object(object)) => object.key.as_str(),
        Some(Is::CommonPrefix(prefix)) => prefix,
        None => "(an entry without a meaning)",
    };
    whole.strip_prefix(&bed.prefix()).unwrap_or(whole).to_owned()
}

async fn page(
    bed: &Bed,
    prefix: &str,
    recursive: bool,
    after: &str,
    limit: u32,
) -> Verdict<(Vec<String>, bool)> {
    let start_after = if after.is_empty() { String::new() } else { bed.key(after) };
    let sent = format!("List of {prefix:?}, recursive {recursive}, after {after:?}, limit {limit}");
    let request =
        v1::ListRequest { prefix: format!("{}{prefix}", bed.prefix()), recursive, start_after, limit };
    let answer = answered(sent, bed.driver().await.list(request).await)?;
    Ok((answer.entries.iter().map(|entry| name(bed, entry)).collect(), answer.more))
}

/// What one level looks like.
fn level(keys: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = keys
        .iter()
        .map(|key| key.split_once('/').map_or_else(|| key.clone(), |(folder, _)| format!("{folder}/")))
        .collect();
    shown.sort();
    shown.dedup();
    shown
}

async fn all(bed: &Bed, prefix: &str, recursive: bool, limit: u32) -> Verdict<Vec<String>> {
    let (mut got, mut after) = (Vec::new(), String::new());
    loop {
        let (names, more) = page(bed, prefix, recursive, &after, limit).await?;
        let Some(last) = names.last() else {
            ensure(!more, "List", "an entry where `more` is set", "none")
                .map_err(|failure| failure.of("L4"))?;
            return Ok(got);
        };
        ensure(
            *last > after,
            "List of the next page",
            format!("names behind {after:?}"),
            format!("{names:?}"),
        )
        .map_err(|failure| failure.of("L3"))?;
        last.clone_into(&mut after);
        got.extend(names);
        if !more {
            return Ok(got);
        }
    }
}

async fn order_of_one_level(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    equal("List of one level", &level(&keys), &page(bed, "", false, "", 0).await?.0)
}

async fn order_recursive(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    equal("List, recursive", &keys, &page(bed, "", true, "", 0).await?.0)
}

async fn empty_prefix(bed: &Bed) -> Verdict {
    let driver = filled(bed, &["x"]).await?;
    let mut after = String::new();
    loop {
        let request = v1::ListRequest { start_after: after.clone(), ..Default::default() };
        let answer = answered("List of the whole store, one level", driver.list(request).await)?;
        let names: Vec<_> = answer.entries.iter().map(|entry| name(bed, entry)).collect();
        if names.iter().any(|name| *name == format!("{}/", crate::bed::ROOT)) {
            return Ok(());
        }
        let Some(last) = names.last().filter(|_| answer.more) else {
            return ensure(
                false,
                "List of the whole store, one level",
                format!("{}/", crate::bed::ROOT),
                format!("{names:?}"),
            );
        };
        last.clone_into(&mut after);
    }
}

async fn prefix_is_a_folder(bed: &Bed) -> Verdict {
    present(bed, &["f/1", "f/2", "f-1", "f.1", "f0", "fa/1"]).await?;
    for recursive in [true, false] {
        equal(
            "List of f/, beside f-1, f.1, f0 and fa/1",
            &vec!["f/1".to_owned(), "f/2".to_owned()],
            &page(bed, "f/", recursive, "", 0).await?.0,
        )?;
    }
    Ok(())
}

async fn prefix_without_a_slash(bed: &Bed) -> Verdict {
    let driver = filled(bed, &["f/1"]).await?;
    for prefix in [bed.key("f"), format!("/{}", bed.prefix()), format!("{}//", bed.key("f"))] {
        let request = v1::ListRequest { prefix: prefix.clone(), ..Default::default() };
        refused(
            format!("List of prefix {prefix:?}"),
            driver.list(request).await,
            Code::InvalidArgument,
            "INVALID_KEY",
        )?;
    }
    Ok(())
}

async fn nothing(bed: &Bed) -> Verdict {
    for recursive in [true, false] {
        let got = page(bed, "never/written/", recursive, "", 0).await?;
        equal("List where nothing is: entries, more", &(Vec::new(), false), &got)?;
    }
    Ok(())
}

async fn entries_are_objects(bed: &Bed) -> Verdict {
    let driver = filled(bed, &["four"]).await?;
    let stat = answered("Stat", driver.stat_key(&bed.key("four")).await)?;
    let request = v1::ListRequest { prefix: bed.prefix(), ..Default::default() };
    let answer = answered("List", driver.list(request).await)?;
    let Some(Is::Object(object)) = answer.entries.first().and_then(|entry| entry.is.clone()) else {
        return ensure(false, "List of one object", "an object", format!("{:?}", answer.entries));
    };
    equal("List: key and size of an object", &(stat.key, 4), &(object.key, object.size))?;
    ensure(
        object.etag.is_empty() || object.etag == stat.etag,
        "List: etag of an object",
        format!("{:?}, or none", stat.etag),
        object.etag,
    )
}

async fn emptied_folder_is_not_shown(bed: &Bed) -> Verdict {
    let driver = filled(bed, &["folder/deep/a", "other"]).await?;
    answered("Delete", driver.delete_key(&bed.key("folder/deep/a"), None).await)?;
    equal(
        "List after the last key of a folder was deleted",
        &vec!["other".to_owned()],
        &page(bed, "", false, "", 0).await?.0,
    )
}

async fn start_after_is_exclusive(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    for (at, key) in keys.iter().enumerate() {
        equal(
            format!("List, recursive, after {key}"),
            &keys[at + 1..].to_vec(),
            &page(bed, "", true, key, 0).await?.0,
        )?;
    }
    Ok(())
}

async fn start_after_need_not_exist(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    for after in ["a,", "a/0", "a/b", "a/b/c0", "a/zz", "a00", "b", "b/y", "z"] {
        let wanted: Vec<_> = keys.iter().filter(|key| key.as_str() > after).cloned().collect();
        equal(
            format!("List, recursive, after {after}, which is not there"),
            &wanted,
            &page(bed, "", true, after, 0).await?.0,
        )?;
    }
    Ok(())
}

async fn start_after_a_common_prefix(bed: &Bed) -> Verdict {
    let shown = level(&present(bed, &NAMES).await?);
    for (at, after) in shown.iter().enumerate() {
        equal(
            format!("List of one level after {after}"),
            &shown[at + 1..].to_vec(),
            &page(bed, "", false, after, 0).await?.0,
        )?;
    }
    Ok(())
}

async fn start_after_outside(bed: &Bed) -> Verdict {
    let keys = present(bed, &["m/1", "m/2"]).await?;
    let asked = |after: String| async move {
        let request =
            v1::ListRequest { prefix: bed.key("m/"), recursive: true, start_after: after, limit: 0 };
        let answer = answered("List of m/", bed.driver().await.list(request).await)?;
        Ok(answer.entries.iter().map(|entry| name(bed, entry)).collect::<Vec<_>>())
    };
    equal("List of m/ after a key before the prefix", &keys, &asked(bed.key("a")).await?)?;
    equal("List of m/ after a key behind the prefix", &Vec::new(), &asked(bed.key("z")).await?)
}

async fn limit(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    for limit in [1, 2, 5] {
        let (names, more) = page(bed, "", true, "", limit).await?;
        equal(
            format!("List with limit {limit}"),
            &(keys.iter().take(limit as usize).cloned().collect(), true),
            &(names, more),
        )?;
    }
    Ok(())
}

async fn limit_zero_and_huge(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    ensure(bed.limits().max_page >= 1000, "Handshake", "max_page of at least 1000", bed.limits().max_page)
        .map_err(|failure| failure.of("H9"))?;
    for limit in [0, 1000, u32::MAX] {
        equal(
            format!("List with limit {limit}"),
            &(keys.clone(), false),
            &page(bed, "", true, "", limit).await?,
        )?;
    }
    Ok(())
}

async fn more_is_exact(bed: &Bed) -> Verdict {
    let keys = present(bed, &["m/1", "m/2", "m/3"]).await?;
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    for (limit, more) in [(count.saturating_sub(1), true), (count, false), (count + 1, false)] {
        equal(
            format!("List of {count} keys with limit {limit}: more"),
            &more,
            &page(bed, "", true, "", limit).await?.1,
        )?;
    }
    Ok(())
}

async fn pages_show_everything_once(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    for limit in [2, 3, 5] {
        equal(format!("List, recursive, in pages of {limit}"), &keys, &all(bed, "", true, limit).await?)?;
    }
    Ok(())
}

async fn pages_of_one(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    equal("List, recursive, in pages of 1", &keys, &all(bed, "", true, 1).await?)
}

async fn pages_of_common_prefixes(bed: &Bed) -> Verdict {
    let keys = present(bed, &NAMES).await?;
    for limit in [1, 2, 3] {
        equal(
            format!("List of one level in pages of {limit}"),
            &level(&keys),
            &all(bed, "", false, limit).await?,
        )?;
    }
    Ok(())
}

async fn changes_while_paging(bed: &Bed) -> Verdict {
    let steady: Vec<String> = (0..30).map(|number| format!("k{number:02}")).collect();
    let driver = filled(bed, &steady.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let (mut got, mut after, mut round) = (Vec::new(), String::new(), 0);
    loop {
        let (names, more) = page(bed, "", true, &after, 4).await?;
        let Some(last) = names.last() else { break };
        last.clone_into(&mut after);
        got.extend(names);
        for name in [format!("k{round:02}-new"), format!("a{round}"), format!("z{round}")] {
            answered("Put while paging", driver.put_key(&bed.key(&name), "x").await)?;
        }
        answered("Delete while paging", driver.delete_key(&bed.key(&format!("a{round}")), None).await)?;
        round += 1;
        if !more || round > 40 {
            break;
        }
    }
    let seen: Vec<_> = got.into_iter().filter(|name| steady.contains(name)).collect();
    equal("List in pages of 4, while other keys come and go", &steady, &seen)
}

async fn large_folder(bed: &Bed) -> Verdict {
    const KEYS: usize = 2100;
    let driver = bed.driver().await;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("{number:05}")).collect();
    for batch in keys.chunks(100) {
        let places: Vec<_> = batch.iter().map(|key| bed.key(key)).collect();
        let puts = places.iter().map(|key| driver.put_key(key, "x"));
        for put in futures_util::future::join_all(puts).await {
            answered("Put", put)?;
        }
    }
    equal("List of 2100 keys, in pages as large as they come", &keys, &all(bed, "", false, 0).await?)
}

async fn current(bed: &Bed, at: &Connection) -> Verdict {
    let driver = bed.driver().await;
    for number in 0..10 {
        let key = bed.key(&format!("new/{number}/key"));
        answered("Put", driver.put_key(&key, "x").await)?;
        let request = v1::ListRequest { prefix: bed.prefix(), recursive: true, ..Default::default() };
        let page = answered("List", at.list(request.clone()).await)?;
        let shown = |page: &v1::ListResponse| {
            page.entries
                .iter()
                .any(|entry| matches!(&entry.is, Some(Is::Object(object)) if object.key == key))
        };
        ensure(
            shown(&page),
            "List right after Put",
            &key,
            format!("{} entries without it", page.entries.len()),
        )?;
        if number % 2 == 0 {
            answered("Delete", driver.delete_key(&key, None).await)?;
            let page = answered("List", at.list(request).await)?;
            ensure(!shown(&page), "List right after Delete", format!("no {key}"), "it is still there")?;
        }
    }
    Ok(())
}

async fn is_current(bed: &Bed) -> Verdict {
    current(bed, &bed.driver().await).await
}

async fn is_current_at_the_second(bed: &Bed) -> Verdict {
    current(bed, &bed.second()?).await
}

async fn no_sessions_no_reserved_keys(bed: &Bed) -> Verdict {
    let driver = bed.driver().await;
    let mut writer =
        answered("create", driver.create_upload(&bed.upload_id(), &bed.key("a"), fence(1)).await)?;
    writer.chunk("abc").await;
    answered("WriteMark with flush", writer.flush(b"m").await)?;
    let mut after = String::new();
    loop {
        let request = v1::ListRequest { recursive: false, start_after: after.clone(), ..Default::default() };
        let answer = answered("List of the whole store", driver.list(request).await)?;
        for entry in &answer.entries {
            let shown = name(bed, entry);
            ensure(
                !shown.starts_with(".driver/") && shown != ".driver" && valid(&shown),
                "List of the whole store, beside an open session",
                "valid keys, none below .driver/",
                &shown,
            )?;
        }
        let Some(last) = answer.entries.last().filter(|_| answer.more) else { return Ok(()) };
        after = match &last.is {
            Some(Is::Object(object)) => object.key.clone(),
            Some(Is::CommonPrefix(prefix)) => prefix.clone(),
            None => return Ok(()),
        };
    }
}

/// As contract clause K1 has it.
fn valid(name: &str) -> bool {
    name.trim_end_matches('/').split('/').all(is_component)
}

async fn deep(bed: &Bed) -> Verdict {
    let key = (0..40).map(|number| format!("d{number}")).collect::<Vec<_>>().join("/");
    let driver = filled(bed, &[key.as_str()]).await?;
    equal(
        "List, recursive, of a key 40 levels deep",
        &vec![key.clone()],
        &page(bed, "", true, "", 0).await?.0,
    )?;
    equal("List of one level", &vec!["d0/".to_owned()], &page(bed, "", false, "", 0).await?.0)?;
    equal(
        "List of a prefix in the middle",
        &vec!["d0/d1/d2/".to_owned()],
        &page(bed, "d0/d1/", false, "", 0).await?.0,
    )?;
    drop(driver);
    Ok(())
}
