//! Who has an account at the simulated trackers: the people of the seed, and strangers who are nearly them.

/// Somebody with an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: &'static str,
    /// The address as Azure DevOps spells it, where it shows one.
    pub(super) azure: Option<&'static str>,
    /// What Jira knows them by.
    pub(super) jira: &'static str,
    /// The address as Jira spells it.
    pub(super) address: &'static str,
}

impl Person {
    /// What Azure DevOps calls the unique name: an address, if there is one.
    pub(super) fn unique_name(&self) -> &'static str {
        self.azure.unwrap_or(self.jira)
    }

    /// The form in which service hooks name people.
    pub(super) fn labelled(&self) -> String {
        format!("{} <{}>", self.name, self.unique_name())
    }
}

/// Whose tokens the bundle's calls to Azure DevOps carry.
pub(super) static SERVICE: Person = Person {
    name: "Picket Sync",
    azure: Some("picket-sync@acme.example"),
    jira: "picket-sync",
    address: "picket-sync@acme.example",
};

/// Who changes what a user changes.
pub(super) static USER: &Person = &PEOPLE[1];

/// In the order that Azure DevOps lists them in: who is looked for is not on the first page.
pub(super) static PEOPLE: [Person; 6] = [
    Person {
        name: "Uma Voss",
        azure: Some("uma@elsewhere.example"),
        jira: "uma",
        address: "uma@elsewhere.example",
    },
    Person {
        name: "Ana Ruiz",
        azure: Some("ana@acme.example"),
        jira: "ana",
        address: "ana@acme.example",
    },
    Person {
        name: "Bob Long",
        azure: Some("bo@acme.example.org"),
        jira: "bob",
        address: "bo@acme.example.org",
    },
    Person {
        name: "Web Build Service",
        azure: None,
        jira: "build",
        address: "",
    },
    Person {
        name: "Bo Li",
        azure: Some("Bo@Acme.example"),
        jira: "bo",
        address: "bo@acme.example",
    },
    Person {
        name: "Cy Moss",
        azure: Some("cy@acme.example"),
        jira: "cy",
        address: "cy@acme.example",
    },
];

/// Everybody.
pub(super) fn all() -> impl Iterator<Item = &'static Person> {
    std::iter::once(&SERVICE).chain(&PEOPLE)
}

/// By address, however it is spelled, or by Jira's name.
///
/// # Panics
/// When there is nobody: it is a mistake of the caller.
pub(super) fn known(text: &str) -> &'static Person {
    let found = all().find(|person| {
        person.jira == text
            || person.address.eq_ignore_ascii_case(text)
            || person.unique_name().eq_ignore_ascii_case(text)
    });
    found.unwrap_or_else(|| panic!("{text:?} has no account at the simulated trackers"))
}
