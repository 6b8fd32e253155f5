# Copyright: Contributors to the fleet.tls project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fleet.tls.due_parts``: which parts of a deployment have anything to do on a host, found out in one visit."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.fleet.tls.plugins.action import (
    ca,
    certificates,
    clients,
    host_facts,
    retire,
    service_config,
    session_ticket_keys,
    trust_bundle,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.base.clocks import WRONG
from ansible_collections.fleet.tls.plugins.plugin_utils.base.errors import HostError, SpecError, TlsError
from ansible_collections.fleet.tls.plugins.plugin_utils.base.playbook_run import THIS_RUN
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.last_looks import LastLook, note_look
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.looks_made import asks_for_lists, known_pairs
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.outlooks import (
    OTHER_HOST,
    UNKNOWN_HOST,
    WRONG_CLOCK,
    differ,
    outlook_of_task,
    told_facts,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.deployment.parts import (
    PARTS,
    Outlook,
    asks_others,
    due_parts,
    in_order,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.facts import HostFacts, parse_host_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.known_facts import known_facts, note_facts
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.limits import TOO_SLOW
from ansible_collections.fleet.tls.plugins.plugin_utils.hosts.shared_visit import Question, SharedTask
from ansible_collections.fleet.tls.plugins.plugin_utils.pki.x509 import seconds
from ansible_collections.fleet.tls.plugins.plugin_utils.retirement.wishes import absent_names, refuse_named
from ansible_collections.fleet.tls.plugins.plugin_utils.spec.presets import find_preset
from ansible_collections.fleet.tls.plugins.plugin_utils.store.contract import Store, load_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.action import TlsAction
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.openable_store import openable_store
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.role_tasks import (
    RoleTask,
    role_task,
    specified,
    wrong_variables,
)
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.run_notes import RunNote, noted_clocks
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.values import Values
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.visiting import VisitingAction
from ansible_collections.fleet.tls.plugins.plugin_utils.tasks.wanted import wishes_of

# Parts whose configuration depends on what the host is.
CONFIGURED = frozenset({"web_server", "publication"})
WEB_SERVERS = ("nginx", "apache", "haproxy")
# Part, or web server → its action, and where its role has the task. All of it is read here, in the process that forks the workers.
ACTIONS: dict[str, tuple[type[TlsAction], RoleTask]] = {
    "certificates": (certificates.ActionModule, role_task("certificates", "fleet.tls.certificates")),
    "ca": (ca.ActionModule, role_task("ca", "fleet.tls.ca")),
    "trust": (trust_bundle.ActionModule, role_task("trust", "fleet.tls.trust_bundle")),
    "session_tickets": (session_ticket_keys.ActionModule, role_task("session_tickets", "fleet.tls.session_ticket_keys")),
    "publication": (
        service_config.ActionModule, role_task("publish_ca", "fleet.tls.service_config", "configure")
    ),
    "clients": (clients.ActionModule, role_task("clients", "fleet.tls.clients")),
    "retire": (retire.ActionModule, role_task("retire", "fleet.tls.retire")),
    "facts": (host_facts.ActionModule, role_task("nginx", "fleet.tls.host_facts")),
    **{each: (service_config.ActionModule, role_task(each, "fleet.tls.service_config", "configure")) for each in WEB_SERVERS},
}  # fmt: skip
for role_name in {task.role for _action, task in ACTIONS.values()}:
    specified(role_name)
for server_name in WEB_SERVERS:
    find_preset(server_name)
DEFAULTS = {name: value for _action, task in ACTIONS.values() for name, value in task.defaults.items()}


class ActionModule(VisitingAction):
    """Ask each part what it would do. It fails for none of them: a part that refuses is due, and says why itself."""

    STEPS = ("several",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.thumbprints: list[str] = []
        self.handed_out: dict[str, dict[str, str]] = {}

    def act(self, options: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        self.values = self.values_for(variables)
        variables = self.with_store(variables)
        store, began = self.store(variables), seconds(self.now())
        facts = self.known(store, variables)
        # Variables may ask what the host is, as they may in the roles.
        variables = {**variables, "ansible_facts": self.presumed(facts, variables)}
        self.values = self.values_for(variables)
        server = self.web_server(variables)
        parts = variables.get("fleet_tls_parts")
        if not isinstance(parts, Mapping):
            raise SpecError("there is no fleet_tls_parts", remedy="this task is for fleet.tls.deploy, which has it")
        wanted = in_order(name for name in parts if self.concerns(name, variables))
        if not wanted:
            return self.concluded({}, None)
        if "retire" in wanted:
            self.refuse_named(variables)
        names = {name: server if name == "web_server" else name for name in wanted}
        wrong = self.wrong(names, variables)
        if wrong:
            self.note(store, None, variables)
            return self.concluded(dict.fromkeys(wanted, Outlook(wrong)), None)
        outlooks, tasks = self.begun(names, facts, variables)
        ca_due = "ca" in outlooks and outlooks["ca"].why is not None
        lists = "publication" in names
        lists |= "web_server" in names and (facts is None or asks_for_lists(tasks["web_server"].question, ca_due))
        self.visit([each for each in tasks.values() if each.question], variables)
        outlooks |= {name: outlook_of_task(tasks[name]) for name in wanted if name in tasks}
        told = told_facts(tasks)
        if told is not None and store is not None and not self._task.check_mode:
            note_facts(store, self.host(variables), told)
        if (tasks.keys() & {"certificates", "facts"}) and (told is None or differ(told, facts)):
            # All were asked with variables of the host that it was.
            outlooks, lists = dict.fromkeys(wanted, OTHER_HOST), not {"web_server", "publication"}.isdisjoint(names)
        if abs(noted_clocks().get(self.host(variables), 0.0)) > WRONG:
            # When all hosts have been asked, the parts know whose clock it is.
            outlooks = dict.fromkeys(wanted, WRONG_CLOCK)
        asks = self.asks_others(wanted, variables)
        result = {**self.concluded(outlooks, told), "asks_others": asks}
        if store is None or not parts.keys() >= set(PARTS):
            # fleet.tls.revoke looks at servers only: that says nothing of the rest of a host.
            return result
        pairs = known_pairs(tasks["certificates"].result or {}) if "certificates" in tasks else {}
        given = self.handed_out.get("lists", {}) if lists else None
        look = LastLook(began, wishes_of(variables), self.handed_out.get("trust", {}), given, pairs or {})
        # What has something to do is noted when that is done.
        self.note(store, look if pairs is not None and not result["due"] else None, variables)
        return {**result, **({"look": look.as_json()} if result["due"] or asks else {})}

    def asks_others(self, wanted: Collection[str], variables: Mapping[str, Any]) -> list[str]:
        """For which parts the host stays though nothing is due on it. Sites that cannot be told are due."""
        sites = self.listed("tls_sites", variables) if "web_server" in wanted else []
        with contextlib.suppress(AnsibleError):
            return asks_others(wanted, sites)
        return asks_others(wanted, [])

    def note(self, store: Store | None, look: LastLook | None, variables: Mapping[str, Any]) -> None:
        """Note that the host is as it should be; None: forget that it was."""
        if store is not None and not self._task.check_mode:
            note_look(store, self.host(variables), look)

    def concluded(self, outlooks: dict[str, Outlook], told: HostFacts | None) -> dict[str, Any]:
        """The task's result.

        :param told: what the host said of itself.
        """
        due = due_parts(outlooks)
        if self.thumbprints and "web_server" in due and "ca" not in due:
            # It is from that part that the server's role knows whose challenges it answers.
            due = due_parts({**outlooks, "ca": Outlook(says=True)})
        why = {name: each.why for name, each in outlooks.items() if each.why}
        return {
            "changed": False,
            "due": due,
            "own": [name for name in due if outlooks[name].why or outlooks[name].says],
            "why": why,
            # The same for all hosts of a play; that of a host that has not got here yet is of an earlier play.
            "task": str(self._task._uuid),
            **({"ansible_facts": told.as_facts()} if told and due else {}),
        }

    def values_for(self, variables: Mapping[str, Any]) -> Values:
        """Of the host's variables, which several parts need. They may refer to defaults of the roles, which agree with each other."""
        seen = {**DEFAULTS, **variables}
        return Values(self._templar.copy_with_new_env(available_variables=seen), seen)

    def with_store(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The variables, without a passphrase that nobody can tell: where nothing is due, nobody needs it."""
        try:
            if "tls_store" in variables:
                self.values.named("tls_store")
        except AnsibleError:
            with contextlib.suppress(AnsibleError):
                store = openable_store(variables["tls_store"], self.values.templar.template)
                variables = {**variables, "tls_store": store}
                self.values = self.values_for(variables)
        return variables

    def presumed(self, facts: HostFacts | None, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The host's facts, with what it was when it was asked last; whether it trusts what we put there, it is asked whatever it said then."""
        others = {name: fact for name, fact in variables.get("ansible_facts", {}).items() if name != "fleet_tls_host"}
        return {**others, **(dataclasses.replace(facts, trusts_ours=True).as_facts() if facts else {})}

    def web_server(self, variables: Mapping[str, Any]) -> str:
        """``tls_web_server``.

        :raises SpecError: there is no role for it.
        """
        if "tls_web_server" not in variables:
            return WEB_SERVERS[0]
        server = self.values.named("tls_web_server")
        if server not in WEB_SERVERS:
            raise SpecError(
                f"tls_web_server: '{server}' is unknown",
                remedy=f"known: {', '.join(WEB_SERVERS)}. Nothing was changed",
            )
        return str(server)

    def refuse_named(self, variables: Mapping[str, Any]) -> None:
        """Before any part has touched anything.

        :raises SpecError: a certificate is to go that a site or a client still names.
        """
        found = [self.listed(name, variables) for name in ("tls_certificates", "tls_sites", "tls_clients")]
        refuse_named(absent_names(found[0]), *found[1:])

    def listed(self, name: str, variables: Mapping[str, Any]) -> list[Any]:
        """A list of the host's; empty where it has none, or none that can be told: the parts say that."""
        with contextlib.suppress(AnsibleError):
            found = self.values.named(name) if name in variables else ()
            return list(found) if isinstance(found, (list, tuple)) else []
        return []

    def concerns(self, part: str, variables: Mapping[str, Any]) -> bool:
        """Whether a part has to do with this host, as the playbook has it; one that cannot be told says so itself."""
        try:
            return bool(self._templar.template(variables["fleet_tls_parts"][part]))
        except AnsibleError:
            return True

    def wrong(self, names: Mapping[str, str], variables: Mapping[str, Any]) -> str | None:
        """That the host's variables are not as the roles want them, in words; None: they are, as far as can be seen without the parts.

        What is wrong may have a secret in it, so it is left to the roles to say.
        """
        roles = [ACTIONS[name][1].role for name in names.values()]
        return (
            "a variable is not of the type that its role says"
            if wrong_variables(roles, variables, self.values)
            else None
        )

    def store(self, variables: Mapping[str, Any]) -> Store | None:
        """The host's store; None: it has none, or none that can be used."""
        try:
            return load_store(self.values.named("tls_store")) if "tls_store" in variables else None
        except (AnsibleError, TlsError):
            return None

    def known(self, store: Store | None, variables: Mapping[str, Any]) -> HostFacts | None:
        """What the host was when it was asked last."""
        told = variables.get("ansible_facts", {}).get("fleet_tls_host")
        with contextlib.suppress(HostError):
            if told:
                return parse_host_facts(told)
        return known_facts(store, self.host(variables)) if store else None

    def begun(
        self, names: Mapping[str, str], facts: HostFacts | None, variables: Mapping[str, Any]
    ) -> tuple[dict[str, Outlook], dict[str, SharedTask]]:
        """The parts' tasks, each up to its question to the host; and the outlooks of parts that have none.

        :param names: part → its name in ``ACTIONS``.
        """
        outlooks, tasks = {}, {}
        for part, name in names.items():
            if part == "ca":
                outlooks[part] = self.of_ca(variables)
            elif part not in CONFIGURED:
                tasks[part] = SharedTask(partial(self.foreseen_by, name, {}, variables))
            elif facts is None:
                outlooks[part] = UNKNOWN_HOST
            else:
                tasks[part] = SharedTask(partial(self.foreseen_by, name, self.given(name, variables), variables))
        if not CONFIGURED.isdisjoint(names) and "certificates" not in names:
            tasks["facts"] = SharedTask(partial(self.foreseen_by, "facts", {}, variables))
        return outlooks, tasks

    def given(self, server: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """What a web server's role is included with, or knows of the parts before it."""
        thumbprints = [*variables.get("fleet_tls_acme_thumbprints", ()), *self.thumbprints]
        known = {"fleet_tls_acme_thumbprints": list(dict.fromkeys(thumbprints))} if thumbprints else {}
        return {f"fleet_tls_{server}_missing": "report", **known}

    def foreseen_by(
        self,
        name: str,
        given: Mapping[str, Any],
        variables: Mapping[str, Any],
        ask: Callable[[Question], Mapping[str, Any]],
        **changes: Any,
    ) -> dict[str, Any]:
        """What the task of one of ``ACTIONS`` would come to.

        :param given: variables that its role is included with.
        :param ask: asks the host.
        :param changes: options that are not to be as the role has them.
        """
        kind, role = ACTIONS[name]
        known = {name: value for name, value in self.values.known.items() if name in variables}
        seen = role.variables({**variables, **known}, given)
        templar = self._templar.copy_with_new_env(available_variables=seen)
        task = role.task.copy()
        task.args = {**role.options(Values(templar, seen)), **changes}
        task.check_mode, task.diff = True, False
        action = self.other(kind, task, templar, ask)
        return action.foreseen(seen, check_mode=bool(self._task.check_mode))

    def of_ca(self, variables: Mapping[str, Any]) -> Outlook:
        """That of the certificate authorities, found out once for hosts with the same; what there is to say, the first of them to get there says."""
        batch = variables.get("ansible_play_batch") or ()
        asked = [
            json.dumps(self.values.known.get(each), sort_keys=True, default=str)
            for each in ("tls_store", "tls_issuers")
        ]
        note = RunNote("due_parts", THIS_RUN.name, str(self._task._uuid), *asked, *map(str, batch))
        with note.held() as known:
            if known is not None:
                self.thumbprints, self.handed_out = known["thumbprints"], known["handed_out"]
                # So that it is said even where the host that asked does not get there.
                return Outlook(known["why"], says=known["says"])
            task = SharedTask(partial(self.foreseen_by, "ca", {}, variables, once=False))
            outlook = outlook_of_task(task)
            self.thumbprints = list((task.result or {}).get("acme_thumbprints", ()))
            self.handed_out = (task.result or {}).get("handed_out", {})
            told = {"thumbprints": self.thumbprints, "handed_out": self.handed_out}
            note.write({"why": outlook.why, "says": outlook.says, **told})
            return outlook

    def visit(self, tasks: Sequence[SharedTask], variables: dict[str, Any]) -> None:
        """Ask the host what these tasks ask, and let them go on to their ends.

        :raises AnsibleConnectionFailure: the host cannot be reached.
        :raises HostError: it is too slow.
        """
        if not tasks:
            return
        outcomes: list[Any]
        try:
            outcomes = self.answers("several", tasks, variables)
        except AnsibleConnectionFailure:
            raise
        except (AnsibleError, TlsError) as error:
            if getattr(error, "code", None) == TOO_SLOW:
                # Each part would wait as long again, and all other hosts with it.
                raise
            outcomes = [error] * len(tasks)
        for each, outcome in zip(tasks, outcomes):
            each.answer(outcome)
