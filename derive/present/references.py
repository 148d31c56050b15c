"""References: the works that steps and titles cite, by their keys in docs/references.bib, as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from derive.exposition import Step


@dataclass(frozen=True, slots=True)
class Reference:
    """Authors, title and year of a work."""

    authors: str
    title: str
    year: int

    @property
    def short(self) -> str:
        """As a title cites it: "Elman, 1990", "Schuster and Paliwal, 1997", "Cho and others, 2014"."""
        surnames = [name.split()[-1] for name in re.split(", | and ", self.authors)]
        others = {1: "", 2: f" and {surnames[-1]}"}.get(len(surnames), " and others")
        return f"{surnames[0]}{others}, {self.year}"


REFERENCES = {
    "almeida1987": Reference(
        "Luís B. Almeida",
        "A Learning Rule for Asynchronous Perceptrons with Feedback in a Combinatorial Environment",
        1987,
    ),
    "bai2019": Reference("Shaojie Bai, J. Zico Kolter and Vladlen Koltun", "Deep Equilibrium Models", 2019),
    "chang2019": Reference(
        "Bo Chang, Minmin Chen, Eldad Haber and Ed H. Chi",
        "AntisymmetricRNN: A Dynamical System View on Recurrent Neural Networks",
        2019,
    ),
    "cho2014": Reference(
        "Kyunghyun Cho, Bart van Merriënboer, Caglar Gulcehre, Dzmitry Bahdanau, Fethi Bougares, Holger Schwenk and Yoshua Bengio",
        "Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine Translation",
        2014,
    ),
    "elman1990": Reference("Jeffrey L. Elman", "Finding Structure in Time", 1990),
    "gers2000": Reference(
        "Felix A. Gers, Jürgen Schmidhuber and Fred Cummins",
        "Learning to Forget: Continual Prediction with LSTM",
        2000,
    ),
    "gers2000peephole": Reference("Felix A. Gers and Jürgen Schmidhuber", "Recurrent Nets that Time and Count", 2000),
    "graves2013": Reference(
        "Alex Graves, Abdel-rahman Mohamed and Geoffrey Hinton",
        "Speech Recognition with Deep Recurrent Neural Networks",
        2013,
    ),
    "hinton2012": Reference("Geoffrey Hinton", "Training RNNs with Back Propagation", 2012),
    "hochreiter1997": Reference("Sepp Hochreiter and Jürgen Schmidhuber", "Long Short-Term Memory", 1997),
    "hopfield1984": Reference(
        "John J. Hopfield",
        "Neurons with Graded Response Have Collective Computational Properties Like Those of Two-State Neurons",
        1984,
    ),
    "jaeger2001": Reference(
        "Herbert Jaeger",
        "The “Echo State” Approach to Analysing and Training Recurrent Neural Networks",
        2001,
    ),
    "jordan1986": Reference("Michael I. Jordan", "Serial Order: A Parallel Distributed Processing Approach", 1986),
    "koutnik2014": Reference(
        "Jan Koutník, Klaus Greff, Faustino Gomez and Jürgen Schmidhuber",
        "A Clockwork RNN",
        2014,
    ),
    "li2018": Reference(
        "Shuai Li, Wanqing Li, Chris Cook, Ce Zhu and Yanbo Gao",
        "Independently Recurrent Neural Network (IndRNN): Building A Longer and Deeper RNN",
        2018,
    ),
    "lin1996": Reference(
        "Tsungnan Lin, Bill G. Horne, Peter Tiňo and C. Lee Giles",
        "Learning Long-Term Dependencies in NARX Recurrent Neural Networks",
        1996,
    ),
    "martens2011": Reference(
        "James Martens and Ilya Sutskever",
        "Learning Recurrent Neural Networks with Hessian-Free Optimization",
        2011,
    ),
    "neftci2019": Reference(
        "Emre O. Neftci, Hesham Mostafa and Friedemann Zenke",
        "Surrogate Gradient Learning in Spiking Neural Networks: "
        "Bringing the Power of Gradient-Based Optimization to Spiking Neural Networks",
        2019,
    ),
    "pineda1987": Reference(
        "Fernando J. Pineda",
        "Generalization of Back-Propagation to Recurrent Neural Networks",
        1987,
    ),
    "raj2020": Reference("Bhiksha Raj", "Recurrent Networks: 1", 2020),
    "rusch2021": Reference(
        "T. Konstantin Rusch and Siddhartha Mishra",
        "Coupled Oscillatory Recurrent Neural Network (coRNN): "
        "An accurate and (gradient) stable architecture for learning long time dependencies",
        2021,
    ),
    "schmidhuber1992": Reference(
        "Jürgen Schmidhuber",
        "Learning to Control Fast-Weight Memories: An Alternative to Dynamic Recurrent Networks",
        1992,
    ),
    "schuster1997": Reference("Mike Schuster and Kuldip K. Paliwal", "Bidirectional Recurrent Neural Networks", 1997),
    "seung2005": Reference("H. Sebastian Seung", "Backprop for Recurrent Networks", 2005),
    "sompolinsky1988": Reference(
        "Haim Sompolinsky, Andrea Crisanti and Hans-Jürgen Sommers",
        "Chaos in Random Neural Networks",
        1988,
    ),
    "waibel1989": Reference(
        "Alexander Waibel, Toshiyuki Hanazawa, Geoffrey Hinton, Kiyohiro Shikano and Kevin J. Lang",
        "Phoneme Recognition Using Time-Delay Neural Networks",
        1989,
    ),
    "werbos1990": Reference("Paul J. Werbos", "Backpropagation Through Time: What It Does and How to Do It", 1990),
    "williams1989": Reference(
        "Ronald J. Williams and David Zipser",
        "A Learning Algorithm for Continually Running Fully Recurrent Neural Networks",
        1989,
    ),
    "zhou2016": Reference(
        "Guo-Bing Zhou, Jianxin Wu, Chen-Lin Zhang and Zhi-Hua Zhou",
        "Minimal Gated Unit for Recurrent Neural Networks",
        2016,
    ),
}


def cited(found: Iterable[Step], title: str = "") -> list[str]:
    """The keys that steps cite, and those of the works that a title cites by authors and year; sorted."""
    named = {key for key, reference in REFERENCES.items() if re.search(rf"(?<!\w){re.escape(reference.short)}(?!\w)", title)}
    return sorted(named | {step.source for step in found if step.source})
