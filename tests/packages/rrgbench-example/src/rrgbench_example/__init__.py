"""Registers the parts by name; importing this imports none of them."""

from rrgbench import hookimpl


@hookimpl
def rrgbench_register_encoders(register):
    register("brightness", "rrgbench_example.parts:Brightness", summary="calls bright images opaque")


@hookimpl
def rrgbench_register_renderers(register):
    register("terse", "rrgbench_example.parts:Terse", summary="the present labels, separated by semicolons")


@hookimpl
def rrgbench_register_llms(register):
    register("parrot", "rrgbench_example.parts:Parrot", summary="repeats what it is told")


@hookimpl
def rrgbench_register_metrics(register):
    register("words", "rrgbench_example.parts:Words", summary="the number of words in a report")
