import subprocess
import sys


def test_scores_of_files_need_no_torch():
    rooms = "words.lexicon words.matcher"
    benchmarks = "amber.files amber.captions amber.questions chair.scores chair.ground_truth "
    benchmarks += "pope.scores pope.build pope.questions"
    names = [f"causal_attrib.{name}" for name in rooms.split()]
    names += [f"causal_attrib.evaluation.{name}" for name in benchmarks.split()]
    code = f"import sys, {', '.join(names)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
