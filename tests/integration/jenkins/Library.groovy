// SPDX-License-Identifier: MIT
/** A Jenkinsfile, and each variable of a library: what is no method of its own is a global variable, or a step. */
abstract class Library extends Script {
    def methodMissing(String name, Object arguments) {
        def variable = binding.variables.get(name)

        if (variable instanceof Library) {
            return variable.call(*arguments)
        }
        return binding.variables.get(' controller').step(name, arguments as List)
    }
}
