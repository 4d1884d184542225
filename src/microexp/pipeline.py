"""The table of stages: what each step of the pipeline reads, writes and is called.

Sub-commands and their help, file names, wildcards, the rules' shell lines, the plan's targets, `verify`, and the
diagrams of report and README come from here. A new stage is one module with `run(job)`, one row here and one rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from microexp.run.stage import Input, Output, Stage

VIDEOS = Input("videos.csv of the subject", "index-subject.videos")
EXPRESSIONS = Input("expressions.csv of the subject", "index-subject.expressions")
FACES = Input("faces of the subject", "faces.faces")
CROPS = Input("crops of the subject", "crops.crops")
FLOW = Input("flow of the subject", "flow.flow")
ROOT = Input("folder that the videos' paths are relative to", "plan.root", "optional", tracked=False)
SHEETS = Input("sheets of the release, for the record", "plan.sheets", "many", tracked=False)
RENDERED = Input("videos that the run renders itself", "plan.rendered", "many", passed=False, after=("demo",))
ALL_EXPRESSIONS = Input("expressions.csv of the experiment's data sets", "plan.expressions", "many", after=("index",))
ALL_VIDEOS = Input("videos.csv of the experiment's data sets", "plan.videos", "many", after=("index",))
LANDMARKS = Input("landmarks of every frame", "landmarks.landmarks")
VIDEO_EVENTS = Input("events.csv of the video", "video-tables.events")
SPOTTING_MODEL = Input("the spotting model", "plan.applied_spotting", after=("model",))
RECOGNITION_MODEL = Input("the recognition model", "plan.applied_recognition", "optional", after=("model",))
UNIT_MODEL = Input("the model of action units", "plan.applied_units", "optional")
SUBJECT = {"dataset": "name of the data set", "subject": "name of the subject"}
FOLD = {"fold": "data set and held-out subject, such as casme2-sub05; all: nobody is held out"}
STREAMS = ("i3d_rgb", "i3d_flow", "motion", "given")
"""Streams of features: the stage of the same name (with `-`) writes `results/features/{stream}/…`."""
STREAM_STAGES = tuple(name.replace("_", "-") for name in STREAMS)
FIT_STAGES = ("spotting-fold", "recognition-fold")
FOLDS = ("detect", "recognition-fold")
REPORTED = (
    "demo-sheet", "demo", "faces", "crops", "flow", "apexdiff", *STREAM_STAGES, "spotting-fold", "detect",
    "recognition-fold", "report-subject",
)  # fmt: skip
SPOT = "results/spotting/{experiment}/{method}/{fold}"
RECOGNISE = "results/recognition/{experiment}/{method}/{fold}"
OWN = "results/videos/{application}/{dataset}/{subject}"
TABLE = "results/tables/{kind}_{experiment}"


def features(stream: str) -> Output:
    """The feature shard of a stream."""
    return Output(f"results/features/{stream}/{{dataset}}/{{subject}}.h5", f"features of the stream {stream}")


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "demo-sheet",
            "microexp.rendered.demo",
            "write the annotation sheet of the rendered demo data set",
            "run",
            {},
            {"sheet": Output("results/demo/annotations.csv", "annotations of all videos")},
            "microexp.reading.params:DemoSheetParams",
            drawn=False,
        ),
        Stage(
            "demo",
            "microexp.rendered.video",
            "render one video of the demo data set",
            "video",
            {},
            {"video": Output("results/demo/videos/{subject}/{video}.mp4", "the video")},
            "microexp.reading.params:DemoVideoParams",
            {"video": "name of the video, such as s01_1"},
            drawn=False,
        ),
        Stage(
            "index",
            "microexp.datasets.index",
            "read a release: videos and expressions in one schema",
            "dataset",
            {
                "files": Input(
                    "sheet and videos that the run renders", "plan.sources", "many", after=("demo-sheet", "demo")
                ),
                "sheets": SHEETS,
                "root": ROOT,
            },
            {
                "videos": Output("results/index/{dataset}/videos.csv", "the videos"),
                "expressions": Output("results/index/{dataset}/expressions.csv", "the annotated expressions"),
                "issues": Output("results/index/{dataset}/issues.csv", "what was corrected, clipped or excluded"),
                "counts": Output("results/index/{dataset}/counts.csv", "found against published"),
                "excluded": Output("results/index/{dataset}/excluded.csv", "what no result covers"),
            },
            "microexp.reading.params:IndexStageParams",
            {"dataset": "name of the data set"},
        ),
        Stage(
            "index-subject",
            "microexp.datasets.index_subject",
            "the part of an index that concerns one subject",
            "subject",
            {
                "files": Input(
                    "sheet and videos of the subject that the run renders",
                    "plan.sources_of",
                    "many",
                    after=("demo-sheet", "demo"),
                ),
                "sheets": SHEETS,
                "root": ROOT,
            },
            {
                "videos": Output("results/index/{dataset}/subjects/{subject}/videos.csv", "videos of the subject"),
                "expressions": Output(
                    "results/index/{dataset}/subjects/{subject}/expressions.csv", "expressions of the subject"
                ),
            },
            options="microexp.reading.params:IndexStageParams",
            keys=SUBJECT,
        ),
        Stage(
            "faces",
            "microexp.faces.faces",
            "detect, track and align the face of every video of a subject",
            "subject",
            {"videos": VIDEOS, "sources": RENDERED, "root": ROOT},
            {"faces": Output("results/faces/{dataset}/{subject}.h5", "landmarks and alignment of every video")},
            "microexp.faces.params:FacesParams",
            gpu="backend",
            version=2,
        ),
        Stage(
            "crops",
            "microexp.faces.crops",
            "cut aligned face crops",
            "subject",
            {"videos": VIDEOS, "faces": FACES, "sources": RENDERED, "root": ROOT},
            {"crops": Output("results/crops/{dataset}/{subject}.h5", "aligned crops of every video")},
            "microexp.faces.params:CropsParams",
        ),
        Stage(
            "flow",
            "microexp.flow.flow",
            "TV-L1 optical flow between consecutive crops",
            "subject",
            {"crops": CROPS},
            {"flow": Output("results/flow/{dataset}/{subject}.h5", "flow between consecutive crops")},
            "microexp.flow.params:FlowParams",
            gpu="backend",
        ),
        Stage(
            "apexdiff",
            "microexp.apexdiff.apexdiff",
            "onset-apex difference, flow and strain of every expression",
            "subject",
            {"crops": CROPS, "expressions": EXPRESSIONS, "videos": VIDEOS},
            {"apexdiff": Output("results/apexdiff/{dataset}/{subject}.h5", "onset-apex maps of every expression")},
            "microexp.apexdiff.params:ApexdiffParams",
            gpu="backend",
        ),
        Stage(
            "weights",
            "microexp.features.weights",
            "fetch and check the I3D weights",
            "run",
            {},
            {"weights": Output("weights/i3d_rgb_kinetics400.safetensors", "RGB weights, Kinetics-400")},
            "microexp.features.params:WeightsParams",
        ),
        Stage(
            "i3d-rgb",
            "microexp.features.i3d_rgb",
            "I3D features of the crops",
            "subject",
            {"crops": CROPS, "weights": Input("RGB weights", "plan.rgb_weights", after=("weights",))},
            {"features": features("i3d_rgb")},
            "microexp.features.params:I3dRgbParams",
            version=2,
            gpu="always",
        ),
        Stage(
            "i3d-flow",
            "microexp.features.i3d_flow",
            "I3D features of the flow",
            "subject",
            {
                "crops": CROPS,
                "flow": FLOW,
                "weights": Input(
                    "RGB weights, from which the flow stream starts", "plan.rgb_weights", after=("weights",)
                ),
                "flow_weights": Input("flow weights of your own", "plan.flow_weights", "optional"),
            },
            {"features": features("i3d_flow")},
            "microexp.features.params:I3dFlowParams",
            version=2,
            gpu="always",
        ),
        Stage(
            "motion",
            "microexp.features.motion",
            "motion of the places and regions of a face, from the aligned flow",
            "subject",
            {"flow": FLOW, "faces": FACES, "crops": CROPS},
            {"features": features("motion")},
            "microexp.features.params:MotionParams",
        ),
        Stage(
            "given",
            "microexp.features.given",
            "take features or per-frame series that another program computed",
            "subject",
            {"videos": VIDEOS, "files": Input("the subject's files (npz, CSV)", "plan.given_files", "many")},
            {"features": features("given")},
            "microexp.features.params:GivenParams",
        ),
        Stage(
            "shards",
            "microexp.run.shards",
            "list the files of all subjects with their hashes",
            "list",
            {
                "shards": Input(
                    "files made by microexp", "plan.listed", "many", after=("crops", "apexdiff", *STREAM_STAGES)
                )
            },
            {"list": Output("results/{kind}/{experiment}/{stage}.list", "path, tabulator, SHA-256 per line")},
            drawn=False,
        ),
        Stage(
            "spotting-fold",
            "microexp.methods.spotting.fold",
            "train a spotting method on all subjects but one and write its proposals",
            "fold",
            {
                "features": Input(
                    "feature shards of all subjects", "plan.feature_lists", "list", after=("shards", *STREAM_STAGES)
                ),
                "expressions": ALL_EXPRESSIONS,
                "videos": ALL_VIDEOS,
                "start": Input("model that training starts from", "plan.started_from", "many", passed=False),
            },
            {
                "trained": Output(f"{SPOT}/trained.safetensors", "what was trained, one state per seed"),
                "training": Output(f"{SPOT}/training.csv", "the training log"),
                "proposals": Output(f"{SPOT}/proposals.h5", "proposals for held-out and calibration subjects"),
            },
            "microexp.methods.spotting.params:SpottingFoldParams",
            FOLD,
            version=2,
            gpu="always",
        ),
        Stage(
            "detect",
            "microexp.methods.spotting.detect",
            "turn proposals into detections",
            "fold",
            {
                "proposals": Input("proposals.h5 of the fold", "spotting-fold.proposals"),
                "expressions": ALL_EXPRESSIONS,
                "videos": ALL_VIDEOS,
            },
            {
                "detections": Output(f"{SPOT}/detections.csv", "detections in the held-out subject's videos"),
                "selection": Output(f"{SPOT}/selection.json", "what was chosen, and on whom"),
            },
            "microexp.methods.spotting.params:DetectParams",
            FOLD,
        ),
        Stage(
            "recognition-fold",
            "microexp.methods.recognition.fold",
            "train a recognition method on all subjects but one and predict that one",
            "fold",
            {
                "apexdiff": Input(
                    "onset-apex maps of all subjects", "plan.apexdiff_list", "list", after=("shards", "apexdiff")
                )
            },
            {
                "trained": Output(f"{RECOGNISE}/trained.safetensors", "what was trained, one state per seed"),
                "training": Output(f"{RECOGNISE}/training.csv", "the training log"),
                "predictions": Output(f"{RECOGNISE}/predictions.csv", "class probabilities of the held-out clips"),
            },
            "microexp.methods.recognition.params:RecognitionFoldParams",
            FOLD,
            gpu="always",
        ),
        Stage(
            "events",
            "microexp.methods.recognise_spotted",
            "apex, flags and class probabilities of what a fold spotted",
            "fold",
            {
                "detections": Input("detections.csv of the fold", "detect.detections"),
                "videos": ALL_VIDEOS,
                "crops": Input("crops of those who are held out", "plan.crops_of_fold", "many", after=("crops",)),
                "motion": Input("motion of the same, for flags", "plan.motion_of_fold", "many", after=("motion",)),
                "recognisers": Input(
                    "what the recognition folds trained that hold out the same people",
                    "plan.recognisers",
                    "many",
                    after=("recognition-fold",),
                ),
            },
            {"events": Output(f"{SPOT}/events.csv", "detections of the first seed, each with apex and classes")},
            "microexp.methods.recognise_spotted:EventsParams",
            FOLD,
            version=2,
            drawn=False,
        ),
        Stage(
            "model",
            "microexp.methods.model",
            "one file with everything that applying a trained method takes",
            "model",
            {
                "trained": Input("what the fold `all` trained", "plan.trained_on_all", after=FIT_STAGES),
                "selection": Input(
                    "selection.json of the fold `all` (spotting)",
                    "plan.selection_of_all",
                    "optional",
                    after=("detect",),
                ),
            },
            {"model": Output("results/{kind}/{experiment}/{method}/all/model.safetensors", "the model")},
            "microexp.methods.model:ModelParams",
            {"kind": "spotting or recognition"},
            version=2,
            drawn=False,
        ),
        Stage(
            "apply",
            "microexp.methods.apply",
            "find and recognise expressions in the videos of a subject, without ground truth",
            "apply",
            {
                "videos": VIDEOS,
                "crops": CROPS,
                "features": Input(
                    "feature shards of the subject", "plan.applied_features", "many", after=STREAM_STAGES
                ),
                "spotting": SPOTTING_MODEL,
                "recognition": RECOGNITION_MODEL,
                "action_units": UNIT_MODEL,
            },
            {"events": Output("results/apply/{application}/{dataset}/{subject}/events.csv", "what was found")},
            "microexp.methods.apply:ApplyStageParams",
            version=3,
            drawn=False,
        ),
        Stage(
            "landmarks",
            "microexp.faces.follow",
            "landmarks of every frame of one's own video, with OpenFace's column names",
            "own video",
            {"videos": VIDEOS, "faces": FACES, "root": ROOT},
            {"landmarks": Output(f"{OWN}/landmarks.csv", "landmarks of every frame")},
            "microexp.faces.params:FacesParams",
            version=2,
            drawn=False,
        ),
        Stage(
            "video-tables",
            "microexp.report.video.tables",
            "tables of one's own video: its frames, its events, and a summary",
            "own video",
            {
                "videos": VIDEOS,
                "expressions": EXPRESSIONS,
                "faces": FACES,
                "crops": CROPS,
                "motion": Input("motion of the subject", "motion.features"),
                "landmarks": LANDMARKS,
                "found": Input("events.csv of the stage apply", "apply.events"),
                "spotting": SPOTTING_MODEL,
                "root": ROOT,
            },
            {
                "frames": Output(f"{OWN}/frames.csv", "what each frame shows"),
                "events": Output(f"{OWN}/events.csv", "what was found, with what may have caused it"),
                "summary": Output(f"{OWN}/summary.json", "how much of the video could be used, and why no more"),
            },
            "microexp.report.params:VideoTablesParams",
            version=4,
            drawn=False,
        ),
        Stage(
            "video-page",
            "microexp.report.video.page",
            "a page about one's own video: what was found where, and what that rests on",
            "own video",
            {
                "videos": VIDEOS,
                "expressions": EXPRESSIONS,
                "crops": CROPS,
                "frames": Input("frames.csv of the video", "video-tables.frames"),
                "events": VIDEO_EVENTS,
                "summary": Input("summary.json of the video", "video-tables.summary"),
                "spotting": SPOTTING_MODEL,
                "recognition": RECOGNITION_MODEL,
                "action_units": UNIT_MODEL,
            },
            {"page": Output(f"{OWN}/page.html", "the page")},
            "microexp.report.params:VideoTablesParams",
            version=4,
            drawn=False,
        ),
        Stage(
            "annotated",
            "microexp.report.video.annotated",
            "a copy of one's own video with what was found drawn in",
            "own video",
            {
                "videos": VIDEOS,
                "root": ROOT,
                "landmarks": LANDMARKS,
                "events": VIDEO_EVENTS,
            },
            {"annotated": Output(f"{OWN}/annotated.mp4", "the marked copy")},
            drawn=False,
        ),
        Stage(
            "tables",
            "microexp.report.tables",
            "evaluate all folds of an experiment",
            "experiment",
            {
                "folds": Input("detections.csv or predictions.csv of every fold", "plan.scored", "many", after=FOLDS),
                "selections": Input(
                    "selection.json of every fold (spotting)", "plan.selections", "many", after=("detect",)
                ),
                "events": Input(
                    "events.csv of every fold (spot, then recognise)", "plan.events", "many", after=("events",)
                ),
                "expressions": ALL_EXPRESSIONS,
                "videos": ALL_VIDEOS,
                "shards": Input(
                    "last shards of every subject: what was excluded", "plan.last_lists", "list", after=("shards",)
                ),
                "excluded": Input("excluded.csv of the data sets", "plan.excluded", "many", after=("index",)),
            },
            {
                "csv": Output(f"{TABLE}.csv", "every digit"),
                "md": Output(f"{TABLE}.md", "Markdown"),
                "tex": Output(f"{TABLE}.tex", "LaTeX"),
                "json": Output(f"{TABLE}.json", "for the report"),
            },
            "microexp.report.params:TablesStageParams",
            {"kind": "spotting or recognition", "experiment": "name of the experiment"},
            version=2,
        ),
        Stage(
            "report-subject",
            "microexp.report.subject",
            "the report's page of one subject",
            "subject",
            {
                "videos": VIDEOS,
                "expressions": EXPRESSIONS,
                "crops": Input("crops of the subject", "plan.crops_of", "optional", after=("crops",)),
                "faces": Input("faces of the subject", "plan.faces_of", "optional", after=("faces",)),
                "flow": Input("flow of the subject", "plan.flow_of", "optional", after=("flow",)),
                "motion": Input("motion of the subject", "plan.motion_of", "optional", after=("motion",)),
                "apexdiff": Input(
                    "onset-apex maps of the subject", "plan.apexdiff_of", "optional", after=("apexdiff",)
                ),
                "detections": Input(
                    "detections of the folds that hold the subject out", "plan.detections_of", "many", after=("detect",)
                ),
                "events": Input("events of the same folds", "plan.events_of", "many", after=("events",)),
                "predictions": Input(
                    "predictions of the folds that hold it out",
                    "plan.predictions_of",
                    "many",
                    after=("recognition-fold",),
                ),
            },
            {"page": Output("results/report/{dataset}/{subject}.html", "the page")},
            "microexp.report.params:PageParams",
            SUBJECT,
            version=2,
            drawn=False,
        ),
        Stage(
            "report-list",
            "microexp.run.shards",
            "list files that the report shows",
            "list",
            {"shards": Input("files made by microexp", "plan.reported", "many", after=REPORTED)},
            {"list": Output("results/report/{reported}.list", "path, tabulator, SHA-256 per line")},
            drawn=False,
        ),
        Stage(
            "report",
            "microexp.report.report",
            "one self-contained HTML report",
            "run",
            {
                "tables": Input("tables of all experiments as JSON", "plan.json_tables", "many", after=("tables",)),
                "videos": Input("videos.csv of the data sets", "plan.all_videos", "many", after=("index",)),
                "expressions": Input(
                    "expressions.csv of the data sets", "plan.all_expressions", "many", after=("index",)
                ),
                "counts": Input("counts.csv of the data sets", "plan.all_counts", "many", after=("index",)),
                "issues": Input("issues.csv of the data sets", "plan.all_issues", "many", after=("index",)),
                **{
                    name: Input(about, f"plan.report_{name}", "list", after=("report-list",))
                    for name, about in {
                        "detections": "detections of all folds",
                        "training": "training logs of all folds",
                        "faces": "faces of the subjects",
                        "crops": "crops of the subjects",
                        "flow": "flow of the subjects",
                        "apexdiff": "onset-apex maps of the subjects",
                        "records": "results of which only versions and options are shown",
                        "pages": "pages of the subjects, to link to",
                    }.items()
                },
            },
            {"report": Output("results/report.html", "the report")},
            "microexp.report.params:FrontParams",
            version=3,
            drawn=False,
        ),
        Stage(
            "complete",
            "microexp.report.complete",
            "list what was excluded; fails when there is any, unless it is allowed",
            "run",
            {
                "shards": Input(
                    "last shards of every subject",
                    "plan.last_shards",
                    "many",
                    after=("crops", "apexdiff", *STREAM_STAGES),
                ),
                "excluded": Input("excluded.csv of the data sets", "plan.all_excluded", "many", after=("index",)),
                "tables": Input(
                    "tables of all experiments", "plan.json_tables", "many", passed=False, after=("tables",)
                ),
            },
            {"complete": Output("results/excluded.csv", "what was excluded (empty when the run is complete)")},
            "microexp.report.complete:CompleteParams",
            drawn=False,
        ),
    )
}


def command(stage: Stage) -> str:
    """The shell line of a stage's rule, with Snakemake's placeholders."""
    parts = [f"python -P -m microexp {stage.name}"]
    parts += [f"--{key} {{wildcards.{key}:q}}" for key in stage.keys]
    for name, item in stage.inputs.items():
        if item.passed:
            short = item.tracked and item.count == "many"
            source = f"params.{name}" if short else f"input.{name}:q" if item.tracked else f"params.{name}:q"
            parts.append(f"--{option(name)} {{{source}}}")
    parts += [f"--out-{option(name)} {{output.{name}:q}}" for name in stage.outputs]
    parts.append("--params {params.options:q} --threads {threads}")
    if stage.gpu != "never":
        parts.append("--gpus {resources.gpu}")
    return " ".join(parts)


def option(name: str) -> str:
    """Spelling of an input or output on the command line: `flow_weights` is `--flow-weights`."""
    return name.replace("_", "-")


def pattern(reference: str) -> str:
    """Path, with wildcards, of the output that `stage.output` names."""
    stage, _, output = reference.partition(".")
    return STAGES[stage].outputs[output].path


def writers() -> Iterator[tuple[str, str, Output]]:
    """(stage, name, output) of every file that a run makes."""
    for stage in STAGES.values():
        for name, output in stage.outputs.items():
            yield stage.name, name, output
