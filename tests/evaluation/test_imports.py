import subprocess
import sys


def test_scores_of_files_need_no_torch():
    code = "import sys; from causal_attrib.evaluation import {}; print('torch' in sys.modules)"
    names = "amber, amber_captions, amber_questions, chair, ground_truth, lexicon, pope, pope_build, questions"
    done = subprocess.run([sys.executable, "-c", code.format(names)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
