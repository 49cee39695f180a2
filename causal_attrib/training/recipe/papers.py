"""Where each method comes from, for model cards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A method's paper, or what there is in its place.

    short:  how the method is called
    does:   what it does to a policy, as the end of a sentence that begins with "trained"
    arxiv:  number; None for what is on no arXiv
    """

    short: str
    does: str
    title: str
    authors: str
    year: int
    arxiv: str | None = None
    url: str | None = None

    @property
    def bibtex(self) -> str:
        key = f"{self.short.lower().replace('-', '')}{self.year}"
        where = (
            f"  eprint        = {{{self.arxiv}}},\n  archivePrefix = {{arXiv}},\n"
            if self.arxiv
            else f"  howpublished  = {{{self.url or 'web page'}}},\n"
        )
        by = f"  author        = {{{self.authors}}},\n" if self.authors else ""
        return (
            f"@misc{{{key},\n  title         = {{{{{self.title}}}}},\n{by}  year          = {{{self.year}}},\n{where}}}"
        )


PAPERS: dict[str, Paper] = {
    "grpo": Paper(
        "GRPO",
        "by the rewards of several completions of each prompt, held against each other",
        "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
        "Shao, Zhihong and Wang, Peiyi and Zhu, Qihao and Xu, Runxin and Song, Junxiao and Bi, Xiao and Zhang, Haowei "
        "and Zhang, Mingchuan and Li, Y. K. and Wu, Y. and Guo, Daya",
        2024,
        "2402.03300",
    ),
    "copo": Paper(
        "COPO",
        "as by GRPO, with what each reasoning token did to the outcome (its sufficiency and necessity) added to its "
        "advantage",
        "COPO: Causal-Oriented Policy Optimization for Hallucinations of MLLMs",
        "Guo, Peizheng and Wang, Jingyao and Qiang, Wenwen and Zhou, Jiahuan and Zheng, Changwen and Hua, Gang",
        2025,
        "2508.04182",
    ),
    "hero": Paper(
        "HERO",
        "as by GRPO, with tokens weighed by how sure the policy was of them, on the prompts whose rewards vary most",
        "Dynamic Entropy-Aware Reinforcement Learning (HERO)",
        "",
        2025,
    ),
    "cepo": Paper(
        "CE-PO",
        "as by GRPO, with a reward that is a power mean of accuracy and the causal coherence of question, reasoning "
        "and answer",
        "Causally-Enhanced Reinforcement Policy Optimization",
        "Wang, Xiangqi and Huang, Yue and Zhou, Yujun and Luo, Xiaonan and Guo, Kehan and Zhang, Xiangliang",
        2025,
        "2509.23095",
    ),
    "symmpo": Paper(
        "SymMPO",
        "by preferences between responses under a picture and under one that contrasts with it",
        "Mitigating Hallucination Through Theory-Consistent Symmetric Multimodal Preference Optimization",
        "Liu, Wenqi and Song, Xuemeng and Li, Jiaxi and Wei, Yinwei and Zheng, Na and Yin, Jianhua and Nie, Liqiang",
        2025,
        "2506.11712",
    ),
    "dpo": Paper(
        "DPO",
        "by preferences between responses to a prompt",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "Rafailov, Rafael and Sharma, Archit and Mitchell, Eric and Ermon, Stefano and Manning, Christopher D. and "
        "Finn, Chelsea",
        2023,
        "2305.18290",
    ),
    "papo": Paper(
        "PAPO",
        "as by GRPO, with a term that keeps the policy with the picture apart from the policy with most of it masked",
        "Perception-Aware Policy Optimization for Multimodal Reasoning",
        "Wang, Zhenhailong and Guo, Xuehang and Stoica, Sofia and Xu, Haiyang and Wang, Hongru and Ha, Hyeonjeong and "
        "Chen, Xiusi and Chen, Yangyi and Yan, Ming and Huang, Fei and Ji, Heng",
        2025,
        "2507.06448",
    ),
    "vppo": Paper(
        "VPPO",
        "as by GRPO, on the tokens that depend most on the picture, with completions weighed by how much they do",
        "Spotlight on Token Perception for Multimodal Reinforcement Learning",
        "Huang, Siyuan and Qu, Xiaoye and Li, Yafu and Luo, Yun and He, Zefeng and Liu, Daizong and Cheng, Yu",
        2025,
        "2510.09285",
    ),
    "pgpo": Paper(
        "PGPO",
        "as by GRPO, with more of the advantage on tokens whose distribution the picture changes",
        "Not All Tokens See Equally: Perception-Grounded Policy Optimization for Large Vision-Language Models",
        "Ye, Zekai and Li, Qiming and Feng, Xiaocheng and Chen, Ruihan and Li, Ziming and Ren, Haoyu and Chen, Kun and "
        "Tu, Dandan and Qin, Bing",
        2026,
        "2604.01840",
    ),
}
