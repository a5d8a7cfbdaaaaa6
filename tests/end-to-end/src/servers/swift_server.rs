//! Servers that speak Swift's own API, with one account, an owner of it, and a guest who may do what he was allowed.

use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::keystone::{Keystone, REGIONS};
use super::login::Login;
use super::{Flavour, Port, Running, SwiftAccess, rgw, swift};
use crate::scratch;

/// tempauth's own.
const TOKEN_LIFE: Duration = Duration::from_secs(86_400);
/// keystonemiddleware's own.
const TOKEN_MEMORY: Duration = Duration::from_secs(300);
const OWNER: (&str, &str) = ("test:tester", "testing");
const GUEST: (&str, &str) = ("test:guest", "guesting");

/// What a server is asked to be besides.
#[derive(Clone, Debug)]
pub struct SwiftOptions {
    /// How long a token is good for.
    pub token_life: Duration,
    /// So many writes in a second to the objects of a container, and further ones are refused with 498. OpenStack Swift
    /// alone knows that, and from a container's first object on, a second after it.
    pub writes_per_second: Option<u32>,
    /// Swift believes for so long what Keystone said of a token. `None`: it asks each time, which takes several times as long
    /// as all the rest, and refuses at once what was revoked.
    pub token_memory: Option<Duration>,
}

impl Default for SwiftOptions {
    fn default() -> Self {
        Self { token_life: TOKEN_LIFE, writes_per_second: None, token_memory: Some(TOKEN_MEMORY) }
    }
}

/// What the guest may do in the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    Nothing,
    Read,
    ReadAndWrite,
}

/// OpenStack's Swift is interpreters, five and more of them to a server: with more servers at once than processors, a request now
/// and then takes longer than a driver waits for it.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Of an OpenStack's Swift among those that run at once.
type Place = Option<SemaphorePermit<'static>>;

/// One server. What can be asked of its container is asked as its owner.
pub struct SwiftServer {
    running: Running,
    keystone: Option<Keystone>,
    access: SwiftAccess,
    guest: Login,
    /// What the guest is called in access lists.
    guest_in_lists: String,
    /// Given back last, when the server has ended.
    _place: Place,
}

/// What waits for nobody to answer.
struct Launched {
    running: Running,
    keystone: Option<Keystone>,
    endpoint: String,
}

impl SwiftServer {
    /// It answers, and has an empty container.
    pub async fn start(flavour: Flavour) -> Self {
        Self::start_with(flavour, SwiftOptions::default()).await
    }

    pub async fn start_with(flavour: Flavour, options: SwiftOptions) -> Self {
        let place = match flavour {
            Flavour::RgwSwift => None,
            Flavour::SwiftTempauth | Flavour::SwiftKeystone => AT_ONCE.acquire().await.ok(),
        };
        let blocking = tokio::task::spawn_blocking(move || launch(flavour, &options));
        let launched = blocking.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        let mut server = match launched.keystone {
            Some(_) => Self::of_keystone(launched, place).await,
            None => Self::of_v1(flavour, launched, place),
        };
        server.await_success(Method::PUT).await;
        server
    }

    fn of_v1(flavour: Flavour, launched: Launched, place: Place) -> Self {
        let endpoint = &launched.endpoint;
        let account = if flavour == Flavour::RgwSwift { "/swift/v1" } else { "/v1/AUTH_test" };
        let (auth_url, storage_url) = (format!("{endpoint}/auth/v1.0"), format!("{endpoint}{account}"));
        Self {
            running: launched.running,
            keystone: None,
            access: SwiftAccess::new(flavour, auth_url, storage_url, Login::v1(OWNER.0, OWNER.1)),
            guest: Login::v1(GUEST.0, GUEST.1),
            guest_in_lists: GUEST.0.to_owned(),
            _place: place,
        }
    }

    async fn of_keystone(launched: Launched, place: Place) -> Self {
        let Launched { running, keystone, endpoint } = launched;
        let mut keystone = keystone.expect("a keystone");
        keystone.await_answer().await;
        let tenant = keystone.set_up(&endpoint).await;
        let (auth_url, storage_url) =
            (keystone.url().to_owned(), format!("{endpoint}/v1/KEY_{}", tenant.project));
        let access = SwiftAccess::new(Flavour::SwiftKeystone, auth_url, storage_url, tenant.owner);
        Self {
            running,
            keystone: Some(keystone),
            access: access.at_place(REGIONS[0], "public"),
            guest: tenant.guest,
            guest_in_lists: tenant.guest_in_lists,
            _place: place,
        }
    }

    /// Of the flavour that has one.
    pub fn keystone(&self) -> &Keystone {
        self.keystone.as_ref().expect("SwiftKeystone")
    }

    /// To stop it, and to start it again.
    pub fn keystone_mut(&mut self) -> &mut Keystone {
        self.keystone.as_mut().expect("SwiftKeystone")
    }

    /// The container for somebody who may do nothing in it, until `allow_guest` says more. The account's own
    /// headers are the owner's.
    pub fn guest(&self) -> SwiftAccess {
        self.access.as_user(self.guest.clone())
    }

    pub async fn allow_guest(&self, rights: Rights) {
        if self.access.flavour() == Flavour::RgwSwift {
            rgw::allow(self.running.directory(), GUEST.0, rights);
            return;
        }
        let list = |allowed: bool| if allowed { self.guest_in_lists.as_str() } else { "" };
        let (read, write) = (list(rights != Rights::Nothing), list(rights == Rights::ReadAndWrite));
        self.access.update_container(&[("x-container-read", read), ("x-container-write", write)]).await;
    }

    /// Kills the process at the endpoint: connections break off, and new ones are refused. What it stands on goes on.
    /// tempauth forgets all tokens over it.
    pub fn stop(&mut self) {
        self.running.stop();
    }

    /// After `stop`: the same endpoint, the same data.
    pub async fn start_again(&mut self) {
        self.running.start_again();
        self.await_success(Method::HEAD).await;
    }

    /// Connections stay open and new ones are accepted by the kernel, but nothing is answered until `resume`.
    pub fn pause(&self) {
        self.running.pause();
    }

    pub fn resume(&self) {
        self.running.resume();
    }

    /// Every process of its.
    pub fn process_ids(&self) -> Vec<u32> {
        let mut ids = self.running.process_ids();
        ids.extend(self.keystone.iter().flat_map(Keystone::process_ids));
        ids
    }

    /// Where everything that it writes is, but for what Keystone does.
    pub fn directory(&self) -> &Path {
        self.running.directory()
    }

    /// Asks until it has come up and does what it is asked.
    async fn await_success(&mut self, method: Method) {
        let (begin, target) = (Instant::now(), format!("/{}", self.container()));
        loop {
            let why = match self.attempt(method.clone(), &target, Bytes::new(), &[]).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => answer.status().to_string(),
                Err(why) => why,
            };
            self.running.await_next_attempt(begin, &format!("{method} {target}"), &why).await;
        }
    }
}

fn launch(flavour: Flavour, options: &SwiftOptions) -> Launched {
    let (data, port) = (scratch::data_directory(), Port::reserve());
    let endpoint = format!("http://127.0.0.1:{}", port.number());
    let keystone = (flavour == Flavour::SwiftKeystone).then(|| Keystone::spawn(options));
    let mut prepared = match flavour {
        Flavour::SwiftTempauth | Flavour::SwiftKeystone => {
            swift::prepare_native(data.path(), &port, options, keystone.as_ref().map(Keystone::url))
        }
        Flavour::RgwSwift => rgw::prepare_swift(data.path(), &port, options, &[OWNER, GUEST]),
    };
    prepared.ports.push(port);
    Launched { running: Running::start(prepared, data), keystone, endpoint }
}

impl Deref for SwiftServer {
    type Target = SwiftAccess;

    fn deref(&self) -> &SwiftAccess {
        &self.access
    }
}
