"""What can be asked: a catalogue of items, each a request body of one agent and one to four prompts.

Every prompt opens with a tag that no other prompt of the catalogue has, inside the first 64 characters that the mock
Gemini repeats, so that a reply can be proved to belong to its request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

TASKS = (
    "Summarise in three bullet points",
    "List the open risks of",
    "Draft a polite reply about",
    "Explain to a new colleague",
    "Compare last quarter with this one for",
    "Write a test plan for",
    "Find what contradicts itself in",
    "Propose two cheaper alternatives to",
    "Translate into plain English",
    "Rank by urgency what is left to do for",
)
SUBJECTS = (
    "the on-call handbook of the billing service",
    "the retention rules for customer uploads",
    "the migration of the search index",
    "the incident in the payment queue",
    "the contract with the shipping partner",
    "the accessibility review of the sign-up form",
    "the cost report of the image pipeline",
    "the roadmap of the mobile client",
    "the complaints about slow exports",
    "the draft of the privacy notice",
    "the load test of the chat gateway",
    "the onboarding checklist for agents",
)
CONTEXTS = (
    "Keep to facts that the text supports.",
    "The reader has five minutes and no background.",
    "Numbers matter more than adjectives; give each its unit and where it comes from, and say when one is missing.",
    "Earlier answers were too long, so stay under a hundred words unless a table makes the point better.",
    "Two teams disagree about this. State both positions fairly before you recommend one of them.",
)


@dataclass(frozen=True)
class Question:
    """One item: the encoded request ``body`` and the ``tags`` (one a prompt) that a true echo of it must contain."""

    body: bytes
    tags: tuple[bytes, ...]


@dataclass(frozen=True)
class Catalogue:
    """``items`` questions with Zipf popularity; subclass and override :meth:`question` to ask something else."""

    items: int = 4096
    exponent: float = 1.0
    agents: int = 50
    max_prompts: int = 4

    def question(self, item: int, rng: Random) -> Question:
        """Compose item number ``item``; ``rng`` is seeded by the run's seed and the item, so that a seed repeats it."""
        prompts = []
        tags = []
        for position in range(rng.randint(1, self.max_prompts)):
            tag = f"[q{item:05d}.{position}]"
            prompts.append(f"{tag} {rng.choice(TASKS)} {rng.choice(SUBJECTS)}. {rng.choice(CONTEXTS)}")
            tags.append(tag.encode())
        body = {"agent_id": f"agent-{rng.randrange(self.agents)}", "prompts": prompts}
        return Question(json.dumps(body, separators=(",", ":")).encode(), tuple(tags))
