"""What pithgraph is measured with: a corpus, what is measured on it, and what else people use.

What lives here: programs that print numbers, run as `python -m benchmarks`. What must not:
anything that pithgraph itself needs; nothing of this is installed.
"""
