"""What a report says of the tasks and evaluators that it knows; others are reported all the same."""

import dataclasses
from collections.abc import Mapping

TASKS: Mapping[str, str] = {
    "next_token": (
        "Toto learns from video as language models learn from text: every frame becomes a small grid of "
        "discrete codes, a clip becomes one long sequence of them, and a transformer learns to predict each "
        "code from all that came before. Nothing is labelled."
    ),
    "patch_to_patch": (
        "A transformer learns from video without codes: every frame is cut into square patches of pixels, a clip "
        "becomes one long sequence of them, and the transformer learns to predict each patch, less its mean and "
        "contrast, from all that came before. Nothing is labelled."
    ),
    "patch_to_code": (
        "A transformer sees video as pixels and speaks in codes: every frame is cut into square patches, a clip "
        "becomes one long sequence of them, and the transformer learns to predict the discrete code of each patch "
        "from the pixels of all that came before. Nothing is labelled."
    ),
    "tokenizer": (
        "A tokenizer: it turns every frame into a small grid of discrete codes and back into pixels. Its "
        "codes are the words that a video transformer will learn to predict."
    ),
}

# What the curves of a training log show; others get their own name for a caption.
LOGGED: Mapping[str, str] = {
    "loss": "What training minimises.",
    "code_loss": "The loss of codes alone, without the end token.",
    "learning_rate": "The learning rate: up during the warm-up, then down to its end.",
    "grad_norm": "Norm of the gradient before clipping; peaks are batches that surprised the model.",
    "patches_per_second": "Patches learned from each second, evaluations left out.",
    "tokens_per_second": "Tokens learned from each second, evaluations left out.",
    "mfu": "Model FLOPs, with the causal half of attention, over what the chips' data sheets promise in bfloat16.",
    "step_seconds_p50": "Median seconds of a step.",
    "device_memory_peak_gib": "Most memory that one device has held, GiB.",
    "frames_per_second": "Frames learned from each second, evaluations left out.",
}


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number for the head of the report.

    Attributes:
      name: of the scalar.
      label: what it is, for a newcomer.
      references: scalars to read it against -> what each of them is.
      tile: whether it is among the few in large type.
      unit: "percent" or "db" where the scalar's name doesn't say it.
    """

    name: str
    label: str
    references: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tile: bool = False
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Description:
    """Attributes:
    title: of the section.
    intro: what is measured and how to read it.
    tasks: the tasks whose reports miss it when it isn't there.
    measures: for the head of the report.
    needs: what it can't do without.
    purpose: half a sentence for a console.
    """

    title: str
    intro: str
    tasks: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    needs: str = ""
    purpose: str = ""


# Evaluator type -> description, in the order of the report.
EVALUATORS: Mapping[str, Description] = {
    "validation_loss": Description(
        "Prediction",
        "How well the model predicts the codes of clips that it never saw, in nats per code: exp(-loss) is "
        "the probability that it gives, on geometric average, to the code that came. Two simple predictors "
        "set the mark: one knows only how often each code occurs, the other bets that nothing changes from "
        "one frame to the next.",
        ("next_token", "patch_to_code"),
        (
            Measure(
                "loss",
                "loss on held-out clips, nats per code",
                {"copy_last_frame_loss": "copy the last frame", "unigram_loss": "code frequencies alone"},
                tile=True,
            ),
            Measure("percent_below_copy", "below the loss of copying the last frame", tile=True),
        ),
        purpose="nats per code on held-out clips, beside code frequencies and copying the last frame",
    ),
    "patch_loss": Description(
        "Prediction",
        "How well the model predicts the patches of clips that it never saw: the squared error of each value of a "
        "patch, after the patch's mean was taken off and its contrast divided out. Two simple predictors set the mark: "
        "one guesses a patch of no contrast, the other takes the patch at the same place of the frame before, times "
        "the factor that fits best.",
        ("patch_to_patch",),
        (
            Measure(
                "loss",
                "squared error on held-out clips, of normalised pixels",
                {"copy_last_frame_loss": "copy the last frame", "zero_loss": "patches of no contrast"},
                tile=True,
            ),
            Measure("percent_below_copy", "below the error of copying the last frame", tile=True),
        ),
        purpose="squared error on held-out clips, beside patches of no contrast and copying the last frame",
    ),
    "rollout": Description(
        "Continuations",
        "The model is shown the first frames of held-out clips and goes on by itself, one code after the "
        "other; its codes are then turned back into pixels. Given frames have a grey border, generated ones "
        "a blue border. A good continuation need not be the true one: it has to be a possible one.",
        ("next_token",),
        (
            Measure(
                "percent_codes_changing",
                "codes that change from frame to frame in continuations",
                {"percent_codes_changing_in_truth": "in the true clips"},
            ),
            Measure(
                "psnr_db",
                "likeness of continuations to the truth, PSNR",
                {"psnr_db_of_last_frame_held": "hold the last given frame"},
            ),
        ),
        needs="It needs videos: images have nothing that could go on.",
        purpose="held-out clips are continued and painted, to be looked at beside the truth",
    ),
    "probes": Description(
        "Features",
        "How much the frozen model knows of what it sees, though nobody told it what things are called: "
        "small classifiers (probes) are trained on the features of each layer, the model itself left as it "
        "is. In generative models of this kind the best features lie about halfway up. The same probes on a "
        "model with random weights show how much of it was learned.",
        ("next_token", "patch_to_patch", "patch_to_code"),
        (
            Measure(
                "attention_accuracy",
                "held-out clips named right by an attention probe",
                {"attention_accuracy_random_weights": "random weights", "chance": "guessing"},
                tile=True,
                unit="percent",
            ),
            Measure(
                "average_accuracy",
                "held-out clips named right by an average probe",
                {"average_accuracy_random_weights": "random weights", "chance": "guessing"},
                unit="percent",
            ),
        ),
        needs="It needs labelled clips: `config.data.labels`.",
        purpose="can what a clip shows be read off the frozen features? Beside chance and random weights",
    ),
    "reconstruction": Description(
        "Reconstruction",
        "Held-out frames turned into codes and back into pixels: nothing that a video model sees or paints "
        "can be sharper than this.",
        ("tokenizer",),
        (
            Measure("psnr_db", "likeness of reconstructed held-out frames, PSNR", tile=True),
            Measure(
                "ssim", "structural similarity of reconstructed held-out frames, SSIM (1 for equal ones)"
            ),
            Measure("percent_codes_used", "codes used at all on held-out frames"),
        ),
        purpose="what held-out frames lose on the way through the codes, and how many codes are used",
    ),
}
