// SPDX-License-Identifier: MIT
class DeclarativeSteps {
    Controller controller
    Script script

    def methodMissing(String name, Object arguments) {
        return script.invokeMethod(name, arguments)
    }

    def propertyMissing(String name) {
        if (name == 'scm') {
            return script.binding.getVariable(name)
        }
        throw new IllegalStateException('Method calls on objects not allowed outside "script" blocks: ' + name)
    }
}
